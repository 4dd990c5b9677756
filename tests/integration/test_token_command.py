"""`koyomi token`, and app passwords for the API, on a real PostgreSQL."""

from __future__ import annotations

import re

from tests.integration.test_room_command import koyomi, told


async def test_tokens_are_added_listed_and_revoked(database: str) -> None:
    await told(database, "user", "add", "ada", "--no-password")
    token, said = await told(
        database, "token", "add", "ada", "bot", "--scope", "principals:read", "--scope", "system:write", "--days", "3"
    )
    assert re.fullmatch(r"koyomi_[0-9a-f]{16}-[\w-]{43}", token)
    assert said.startswith("This is the service token bot of ada, valid until ")
    again = await koyomi(database, "token", "add", "ada", "bot", "--scope", "system:read")
    assert (again.exit_code, again.output) == (1, "Error: There is a service token named bot.\n")
    head, row = await told(database, "token", "list", "ada")
    assert head.split() == ["LABEL", "SCOPES", "MADE", "LAST", "USED", "END"]
    assert row.startswith("bot    principals:read system:write  ")
    assert " never " in row
    assert await told(database, "token", "revoke", "ada", "bot") == ["The service token bot of ada is revoked."]
    assert len(await told(database, "token", "list", "ada")) == 1
    gone = await koyomi(database, "token", "revoke", "ada", "bot")
    assert gone.output == "Error: ada has no service token named bot.\n"


async def test_app_passwords_say_what_they_open(database: str) -> None:
    await told(database, "user", "add", "ada", "--no-password")
    await told(database, "user", "app-password", "add", "ada", "phone")
    await told(database, "user", "app-password", "add", "ada", "script", "--for", "api", "--for", "apps")
    _, first, second = await told(database, "user", "app-password", "list", "ada")
    assert first.split()[:2] == ["phone", "apps"]
    assert second.split()[:3] == ["script", "api", "apps"]
