"""A part of a document that is made from code, between two comments of Markdown."""

from __future__ import annotations

import sys
from pathlib import Path


def document_with(path: Path, begin: str, end: str, made: str) -> str:
    """The text of a document with its part between the lines `begin` and `end` as it is made now."""
    before, _, rest = path.read_text().partition(begin)
    return f"{before}{begin}\n{made}\n{end}{rest.partition(end)[2]}"


def kept(path: Path, text: str, source: str) -> int:
    """Write a document, or with --check compare it. Returns the exit code.

    :param source: what its part is made from, for the complaint.
    """
    if text == path.read_text():
        return 0
    if "--check" in sys.argv:
        print(f"docs/{path.name} is not what the {source} say; run make docs")
        return 1
    path.write_text(text)
    return 0
