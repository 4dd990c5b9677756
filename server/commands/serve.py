"""`koyomi serve`: run the server."""

from __future__ import annotations

import sys

import click

from server.commands.options import with_settings
from server.settings import Settings


@click.command
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", help="Port to listen on; 0 lets the system choose.  [5232]")
@click.option("--workers", metavar="N", help="Processes that serve requests.  [one for each core]")
@with_settings("host", "port", "workers")
def serve(settings: Settings) -> None:
    """Run the server until it is stopped (Ctrl-C or SIGTERM)."""
    from server.supervisor import run

    sys.exit(run(settings))
