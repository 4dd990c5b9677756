"""The statements that make a set at once: of puts and deletions, of properties, or of copies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeGuard

from server.calendar import derivation
from server.domain.changes import ChangeSet, Delete, Put, SetProperties, StoredContent, Write
from server.domain.contents import ObjectContent
from server.domain.objects import Collection
from storage_plugins.postgres.changes import occurrence_rows
from storage_plugins.postgres.changes import views as view_rows
from storage_plugins.postgres.changes.member_statements import Statement
from storage_plugins.postgres.changes.writing import by, call, split

_APPLY = call("koyomi_apply_1", 31)
_APPLY_COPIES = call("koyomi_apply_copies_1", 7)
_APPLY_PROPERTIES = call("koyomi_apply_properties_1", 5)


def is_plain(writes: Sequence[Write]) -> TypeGuard[Sequence[Put | Delete]]:
    """Whether all writes are deletions, or puts of a given content. Only new members may have dead properties."""
    return all(
        isinstance(write, Delete)
        or (
            isinstance(write, Put)
            and not isinstance(write.content, StoredContent)
            and not (write.properties and write.expected is not None)
        )
        for write in writes
    )


def sets_properties(writes: Sequence[Write]) -> TypeGuard[Sequence[SetProperties]]:
    """Whether all writes set dead properties."""
    return all(isinstance(write, SetProperties) for write in writes)


def copies(writes: Sequence[Write]) -> bool:
    """Whether all writes copy stored members to free names."""
    return all(
        isinstance(write, Put)
        and isinstance(write.content, StoredContent)
        and not (write.keep_id or write.properties)
        and write.expected is None
        for write in writes
    )


def of_copies(writes: Sequence[Write], changes: ChangeSet, restore_days: int) -> Statement:
    """The statement that makes all copies of a set. It returns a row for each write, in their order."""
    rows = []
    for number, write in enumerate(writes):
        assert isinstance(write, Put)
        assert isinstance(write.content, StoredContent)
        source = write.content
        from_source = _where(source.collection, source.name) | {
            "id": source.state.id,
            "revision": source.state.revision,
        }
        rows.append({**_place(number, write), **{f"source_{name}": value for name, value in from_source.items()}})
    limits = changes.limits
    return _APPLY_COPIES, (rows, limits.quota_bytes, limits.max_members, restore_days, *by(changes.cause))


def of_properties(writes: Sequence[SetProperties], changes: ChangeSet) -> Statement:
    """The statement that sets the properties of all members of a set. It returns a row for each write, in order."""
    rows = []
    for number, write in enumerate(writes):
        properties, removed = split(write.changes.properties)
        rows.append({**_place(number, write), "properties": properties, "removed": removed})
    return _APPLY_PROPERTIES, (rows, changes.limits.quota_bytes, *by(changes.cause))


def statement(writes: Sequence[Put | Delete], changes: ChangeSet, restore_days: int) -> Statement:
    """The statement that makes all writes of a set. It returns a row for each write, in their order.

    `restore_days`: how long what is deleted can be restored.
    """
    puts = [
        (number, write, write.content)
        for number, write in enumerate(writes)
        if isinstance(write, Put) and isinstance(write.content, ObjectContent)
    ]
    texts: list[str | None] = [None] * len(writes)
    neutral_texts: list[str | None] = [None] * len(writes)
    rows = [_place(number, write) for number, write in enumerate(writes)]
    for number, put, content in puts:
        rows[number] |= _content(put, content)
        texts[number] = content.text
        neutral_texts[number] = _neutral_text(put, content)
    timed = [(number, content.materialised) for number, _, content in puts if content.materialised is not None]
    copies = [(number, view) for number, put, _ in puts if put.views is not None for view in put.views.views]
    return _APPLY, (
        rows,
        texts,
        neutral_texts,
        [number + 1 for number, found in timed for _ in found.occurrences],
        [ordinal for _, found in timed for ordinal in range(1, len(found.occurrences) + 1)],
        *occurrence_rows.columns([row for _, found in timed for row in found.occurrences]),
        [{"write": number + 1, **row} for number, found in timed for row in occurrence_rows.alarms(found)] or None,
        [number + 1 for number, _ in copies] or None,
        *view_rows.columns([view for _, view in copies]),
        [
            {"write": number + 1, "viewer": view.principal_id, **occurrence_rows.alarm(alarm)}
            for number, view in copies
            for alarm in view.alarms
        ]
        or None,
        {str(number): dict(put.properties) for number, put, _ in puts if put.properties} or None,
        changes.limits.quota_bytes,
        sorted(changes.graced),
        changes.limits.max_members,
        restore_days,
        *by(changes.cause),
    )


def _place(number: int, write: Put | Delete | SetProperties) -> dict[str, Any]:
    """The place of a write and the states that it is based on, as attributes of `member_write`."""
    expected = write.expected
    row: dict[str, Any] = {
        "n": number,
        "deletes": isinstance(write, Delete),
        **_where(write.collection, write.name),
    }
    if expected is not None:
        row |= {"id": expected.id, "revision": expected.revision}
    return row


def _where(collection: Collection, name: str) -> dict[str, Any]:
    return {
        "home_id": collection.home_id,
        "collection_id": collection.id,
        "binding_home_id": collection.binding_home_id,
        "binding": collection.name,
        "incarnation": collection.incarnation,
        "name": name,
    }


def _content(put: Put, content: ObjectContent) -> dict[str, Any]:
    """The content of a put, as attributes of `member_write`."""
    found, views = content.materialised, put.views
    row: dict[str, Any] = {
        "uid": content.uid,
        "component": content.component,
        "etag": content.etag,
        "schedule_tag": content.schedule_tag,
        "size": content.size,
        "time_key": content.time_key,
        "derived": derivation.VERSION,
        "summary": dict(content.summary) or None,
        "scheduling": content.scheduling.role,
        "organizer": content.scheduling.organizer,
        "sequence": content.scheduling.sequence,
        "materialised": found is not None,
        "views": views is not None,
    }
    if found is not None:
        row |= {
            "tzids": list(found.zones) or None,
            "recurrence": found.recurrence,
            "span_start": _time(found.span_start),
            "span_end": _time(found.span_end),
            "endless": found.endless,
            "expanded_from": _time(found.expanded_from),
            "expanded_until": _time(found.expanded_until),
        }
    if views is not None:
        known, revision = views.based_on
        row |= {
            "neutral_etag": views.neutral_etag,
            "neutral_busy": view_rows.busy_numbers(views.neutral_busy),
            "views_known": known,
            "views_revision": revision,
        }
    elif (others := content.others) is not None:
        row |= {"neutral_etag": others.etag, "neutral_busy": view_rows.busy_numbers(others.busy)}
    return row


def _neutral_text(put: Put, content: ObjectContent) -> str | None:
    if put.views is not None:
        return put.views.neutral_text
    return None if content.others is None else content.others.text


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
