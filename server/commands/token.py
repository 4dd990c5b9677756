"""`koyomi token`: service tokens, with which programs use the JSON API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, open_storage
from server.commands.table import table
from server.commands.times import shown
from server.domain.scopes import SCOPES
from server.services.principals import tokens
from server.settings.model import Settings
from storage_plugins.postgres.service_tokens import PostgresServiceTokens

_DAYS = 90


@click.group
def token() -> None:
    """Service tokens for programs that use the JSON API: add, list, revoke."""


@token.command
@click.argument("name")
@click.argument("label")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="May be repeated.")
@click.option("--days", type=click.IntRange(1, tokens.LONGEST.days), default=_DAYS, help=f"Valid so long.  [{_DAYS}]")
@with_settings()
async def add(settings: Settings, name: str, label: str, scopes: Sequence[str], days: int) -> None:
    """Make a token called LABEL that acts in the name of NAME, and print it: it is shown this once."""
    async with open_storage(settings) as session:
        store = PostgresServiceTokens(session.storage.database)
        made = await tokens.add(ACTOR, session.directory, store, name, label, frozenset(scopes), timedelta(days=days))
    click.echo(made.token)
    end = shown(made.expires_at)
    click.echo(f"This is the service token {made.name} of {name}, valid until {end}. It is not shown again.", err=True)


@token.command("list")
@click.argument("name")
@with_settings()
async def list_(settings: Settings, name: str) -> None:
    """List the tokens that act in the name of NAME: what they are for, when made, last used, and their end."""
    async with open_storage(settings) as session:
        store = PostgresServiceTokens(session.storage.database)
        found = await tokens.listed(ACTOR, session.directory, store, name)
    rows = [
        (
            each.name,
            " ".join(sorted(each.scopes)),
            shown(each.created_at),
            shown(each.last_used_at) or "never",
            shown(each.expires_at),
        )
        for each in found
    ]
    click.echo(table(("LABEL", "SCOPES", "MADE", "LAST USED", "END"), rows))


@token.command
@click.argument("name")
@click.argument("label")
@with_settings()
async def revoke(settings: Settings, name: str, label: str) -> None:
    """End a token at once, on all servers."""
    async with open_storage(settings) as session:
        store = PostgresServiceTokens(session.storage.database)
        await tokens.revoke(ACTOR, session.directory, store, name, label)
    click.echo(f"The service token {label} of {name} is revoked.")
