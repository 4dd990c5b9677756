"""The record of who did what: the key that signs its seals, and their second place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from server.diagnosis.findings import Finding, ok, problem, warning
from server.domain.errors import KoyomiError
from server.events.seal_key import key_at
from server.settings.model import Settings
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.upkeep.seals import heads_due

_SUBJECT = "journal"
_LAST = 100
"""Seals that are looked at."""
_LATE = timedelta(minutes=30)
"""Age of a seal whose head should be in the second place."""
_KEYS = """
    select s.key_id
    from (select key_id, number from journal_seal order by number desc limit $1) as s
    group by s.key_id order by max(s.number) desc
"""
_PLACE = "the same key on every server (docs/operations.md, The key of the seals)"


async def look_at_seals(settings: Settings, database: Database) -> list[Finding]:
    """Whether this server has the key that signed the last seals, and whether the second place has their heads."""
    keys = [row[0] for row in await database.fetch(_KEYS, _LAST)]
    return _look_at_key(settings, keys) + await _look_at_heads(settings.journal.heads, database)


def _look_at_key(settings: Settings, keys: list[str]) -> list[Finding]:
    path = settings.journal.key_in(settings.storage.data)
    if not path.exists():
        # Reading it would make one.
        if keys:
            said = (
                f"its seals are signed with the key {keys[0]}, and there is none in {path}: a server here makes another"
            )
            return [problem(_SUBJECT, said, _PLACE)]
        return [ok(_SUBJECT, "nothing is sealed yet; the first server to seal makes a key")]
    try:
        own = key_at(path).key_id
    except KoyomiError as error:
        return [problem(_SUBJECT, error.message, _PLACE)]
    if keys and keys[0] != own:
        said = f"its last seal is signed with the key {keys[0]}, and {path} holds {own}"
        return [problem(_SUBJECT, said, _PLACE)]
    if len(keys) > 1:
        said = f"its last {_LAST} seals are signed with several keys: {', '.join(keys)}"
        return [warning(_SUBJECT, said, _PLACE)]
    return [ok(_SUBJECT, f"the key of its seals is {own}")]


async def _look_at_heads(place: str, database: Database) -> list[Finding]:
    due = await heads_due(database, place, 1) if place else []
    if not due or due[0].sealed_at > datetime.now(UTC) - _LATE:
        return []
    said = f"{place} has no head of seal {due[0].number}, which is of {due[0].sealed_at:%Y-%m-%d %H:%M} UTC"
    return [problem(_SUBJECT, said, "let the server write there; it writes the missing ones then")]
