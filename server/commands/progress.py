"""A progress bar on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import click

_WIDTH = 30
"""Characters of a full bar."""


@contextlib.contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Draw a line of progress on standard error, if it is a terminal.

    The context is a function to call with the number of items done, out of `total`. The line is removed at the end.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return

    def draw(done: int) -> None:
        # More may become due meanwhile.
        share = min(done / total, 1.0) if total else 1.0
        bar = "#" * round(_WIDTH * share)
        click.echo(f"\r\033[K[{bar:-<{_WIDTH}}] {share:4.0%}  {done} of {max(done, total)}", err=True, nl=False)

    draw(0)
    try:
        yield draw
    finally:
        click.echo("\r\033[K", err=True, nl=False)
