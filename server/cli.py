"""The command `koyomi`. Each command's module is loaded only when that command is called, so that all start quickly."""

from __future__ import annotations

import importlib
from typing import Any

import click

from server.domain.errors import KoyomiError

COMMANDS = {
    "serve": ("server.commands.serve:serve", "Run the server."),
    "demo": ("server.commands.demo:demo", "Fill a demo organisation to try Koyomi with."),
    "user": ("server.commands.user:user", "People: add, list, rename, delete; passwords and app passwords."),
    "token": ("server.commands.token:token", "Service tokens for programs that use the JSON API."),
    "principals": ("server.commands.principals:principals", "Load people, groups, rooms and equipment from a file."),
    "room": ("server.commands.room:room", "Rooms and equipment: add, set, list, import; booking policies."),
    "rooms": ("server.commands.rooms:rooms", "Find rooms, suggest times for meetings, report how rooms are used."),
    "import": ("server.commands.import_:import_", "Import .ics and .vcf files, folders, and Radicale's data."),
    "export": ("server.commands.export:export", "Export calendars and contacts to files and folders."),
    "share": ("server.commands.share:share", "Share calendars and address books with people and groups."),
    "access": ("server.commands.access:access", "Access: what somebody may do with a path, and why."),
    "backup": ("server.commands.backup:backup", "Back the database up, while the server runs."),
    "restore": ("server.commands.restore:restore", "Restore a backup, or what somebody deleted."),
    "mail": ("server.commands.mail:mail", "Mails to people elsewhere: what waits; release or discard what is held."),
    "jobs": ("server.commands.jobs:jobs", "Background jobs: list, retry, hold, release, drop."),
    "schedule": ("server.commands.schedule:schedule", "Scheduling: who got what of a meeting, when, and why not."),
    "meetings": ("server.commands.meetings:meetings", "Meetings that somebody organizes: list, cancel, hand over."),
    "imip": ("server.commands.imip:imip", "Scheduling messages by mail: deliver, accept or drop what is held."),
    "events": ("server.commands.events:events", "Events: print messages, what consumers have read, replay."),
    "audit": ("server.commands.audit:audit", "Who did what: list, export, verify; move old months to files."),
    "db": ("server.commands.db:db", "Bring the database to this version, check it."),
    "doctor": ("server.commands.doctor:doctor", "Look for what is wrong, and say what mends it."),
    "version": ("server.commands.version:version", "Print the version of Koyomi and of what it rests on."),
}
"""Name to where the command is and what it does, in the order of `koyomi --help`."""


class LazyGroup(click.Group):
    """A group whose commands are loaded when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names; nothing is loaded."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for `--help`; nothing is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a domain error becomes a message for people."""
        try:
            return super().invoke(ctx)
        except KoyomiError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Koyomi, a CalDAV and CardDAV server on PostgreSQL."""
