"""The statement of each write of one member."""

from __future__ import annotations

from server.calendar import derivation
from server.domain.changes import ChangeSet, Delete, Put, SetPersonal, SetProperties, StoredContent, Write
from server.domain.contents import ObjectContent
from server.domain.errors import SameResource
from storage_plugins.postgres.changes import occurrence_rows
from storage_plugins.postgres.changes import views as view_rows
from storage_plugins.postgres.changes.writing import based_on, by, call, place, split

Statement = tuple[str, tuple[object, ...]]

_PUT = call("koyomi_put_object_4", 57)
_PUT_VIEW = call("koyomi_put_view_2", 20)
_DELETE = call("koyomi_delete_object_2", 11)
_TRANSFER = call("koyomi_transfer_object_5", 23)
_SET_PROPERTIES = call("koyomi_set_object_properties_3", 14)


def statement(write: Write, changes: ChangeSet, restore_days: int) -> Statement:
    """The statement that makes one write of a set. Its row begins with the revision, and ends, after a move, with that
    of the deletion.

    `restore_days`: how long what is deleted can be restored.
    """
    match write:
        case Put(content=content):
            if isinstance(content, StoredContent):
                return _TRANSFER, _transfer(write, content, changes, restore_days)
            return _PUT, _put(write, content, changes, restore_days)
        case Delete():
            return _DELETE, (
                *place(write.collection),
                write.name,
                *based_on(write.expected),
                *by(changes.cause),
            )
        case SetPersonal():
            return _PUT_VIEW, _set_personal(write, changes)
        case SetProperties():
            return _SET_PROPERTIES, (
                *place(write.collection),
                write.name,
                *based_on(write.expected),
                *split(write.changes.properties),
                changes.limits.quota_bytes,
                *by(changes.cause),
            )


def _transfer(put: Put, source: StoredContent, changes: ChangeSet, restore_days: int) -> tuple[object, ...]:
    if (source.collection.id, source.name) == (put.collection.id, put.name):
        raise SameResource
    return (
        put.keep_id,
        *place(source.collection),
        source.name,
        *based_on(source.state),
        *place(put.collection),
        put.name,
        *based_on(put.expected),
        changes.limits.quota_bytes,
        changes.limits.max_members,
        restore_days,
        *by(changes.cause),
    )


def _put(put: Put, content: ObjectContent, changes: ChangeSet, restore_days: int) -> tuple[object, ...]:
    return (
        *place(put.collection),
        put.name,
        *based_on(put.expected),
        content.uid,
        content.component,
        content.etag,
        content.schedule_tag,
        content.size,
        content.time_key,
        derivation.VERSION,
        content.text,
        dict(content.summary) or None,
        content.scheduling.role,
        content.scheduling.organizer,
        content.scheduling.sequence,
        *occurrence_rows.derived(content.materialised),
        changes.limits.quota_bytes,
        changes.limits.max_members,
        restore_days,
        *by(changes.cause),
        *occurrence_rows.arguments(content.materialised),
        *view_rows.arguments(put.views, content.others),
    )


def _set_personal(write: SetPersonal, changes: ChangeSet) -> tuple[object, ...]:
    view = write.view
    return (
        *place(write.collection),
        write.name,
        *based_on(write.expected),
        view.principal_id,
        write.view_revision,
        view.etag,
        view.size,
        view.personal,
        view.text,
        view_rows.busy_numbers(view.busy),
        view_rows.alarms([view]),
        changes.limits.quota_bytes,
        *by(changes.cause),
    )
