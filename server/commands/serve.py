"""`koyomi serve`: run the server."""

from __future__ import annotations

import sys

import click

from server.commands.options import with_serving_settings
from server.settings.model import Settings


@click.command
@with_serving_settings
def serve(settings: Settings) -> None:
    """Run the server until it is stopped (Ctrl-C or SIGTERM)."""
    from server.process.supervisor import run

    sys.exit(run(settings))
