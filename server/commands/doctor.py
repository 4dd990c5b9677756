"""`koyomi doctor`: what is wrong, and what mends it."""

from __future__ import annotations

import asyncio
import sys

import click

from server.commands.options import with_settings
from server.commands.passwords import read_password
from server.commands.session import open_database
from server.diagnosis import discovery, installation
from server.diagnosis.findings import Finding, problem
from server.diagnosis.services import look_at_services
from server.domain.errors import KoyomiError
from server.settings.model import Settings

_SIGNS = {"ok": "ok     ", "warning": "WARNING", "problem": "PROBLEM"}


@click.command
@click.option(
    "--url", metavar="URL", help="Address that clients are given.  [network.external_url, else this machine's]"
)
@click.option("--user", "name", metavar="NAME", help="A person as whom to look for principal and homes.")
@click.option("--password-stdin", is_flag=True, help="Read the person's password from the standard input.")
@with_settings()
async def doctor(settings: Settings, url: str | None, name: str | None, password_stdin: bool) -> None:
    """Look at settings, database, services, certificates, clocks and zone data, and find the way as a client does.

    The server should be running: --url is asked through whatever proxy stands before it. Changes nothing. Exits with 1
    when there is a problem.
    """
    login = None if name is None else discovery.Login(name, read_password(password_stdin, new=False))
    found = [
        *installation.look_at_settings(settings),
        *installation.look_at_certificate(settings),
        *installation.look_at_data_folder(settings),
        *await _database(settings),
        *await look_at_services(settings),
        *await asyncio.to_thread(lambda: list(discovery.look(url or _address(settings), login))),
    ]
    for each in found:
        mend = f"\n        -> {each.mend}" if each.mend else ""
        click.echo(f"{_SIGNS[each.level]} {each.subject}: {each.said}{mend}")
    problems = sum(each.level == "problem" for each in found)
    click.echo("All is well." if not problems else f"{problems} {'problem' if problems == 1 else 'problems'}.")
    if problems:
        sys.exit(1)


async def _database(settings: Settings) -> list[Finding]:
    try:
        async with open_database(settings) as dsn:
            return await installation.look_at_database(settings, dsn)
    except KoyomiError as error:
        return [problem("database", error.message)]


def _address(settings: Settings) -> str:
    """Where the server is reached, as the settings have it."""
    network = settings.network
    if network.external_url:
        return network.external_url
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(network.host, network.host)  # noqa: S104
    scheme = "https" if network.tls_cert else "http"
    return f"{scheme}://[{host}]:{network.port}" if ":" in host else f"{scheme}://{host}:{network.port}"
