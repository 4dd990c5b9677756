"""What rows look like from outside: the values of `server.domain` that the protocols return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.domain.grants import NO_GRANTS, Grants
from server.domain.objects import Collection, Home, Object
from server.domain.occurrences import AlarmTrigger, Busy
from server.domain.principals import Principal
from server.domain.rows import MemberColumn, Row
from server.storage.reads import TEXT_PAGE
from tests.unit.services.memory_storage.space import octets, space_of
from tests.unit.services.memory_storage.tables import (
    BindingRow,
    CopyRow,
    HomeRow,
    ObjectRow,
    PrincipalRow,
    Tables,
)


def principal(row: PrincipalRow) -> Principal:
    """A principal."""
    return Principal(
        row.id,
        row.uid,
        row.kind,
        row.name,
        row.display_name,
        row.addresses,
        row.roles,
        row.disabled_at is not None,
        row.credential_version,
    )


def home(tables: Tables, row: HomeRow) -> Home:
    """A home with its bytes."""
    space = space_of(tables, row.id)
    return Home(
        row.id,
        row.kind,
        row.principal_id,
        row.visible_revision,
        row.incarnation,
        space.used,
        space.kept,
        tables.quota(row),
        row.sync_floor,
        row.infinite_sync_floor,
        row.created_at,
        row.modified_at,
        row.properties,
    )


def collection(tables: Tables, binding: BindingRow, viewer: int | None) -> Collection:
    """A collection as a binding shows it, with what the viewer has set for themselves."""
    row = tables.collections[binding.collection_id]
    own = None if viewer is None else tables.own_properties.get((row.id, viewer))
    own_revision = 0 if own is None else own.revision
    members = tables.members(row.id)
    shows_copies = binding.rights != "owner" and row.kind == "calendar"
    return Collection(
        home_id=row.home_id,
        id=row.id,
        name=binding.name,
        kind=row.kind,
        rights=binding.rights,
        components=row.components,
        revision=max(row.revision, own_revision, binding.view_revision),
        binding_revision=binding_revision(tables, binding, viewer),
        incarnation=binding.incarnation,
        sync_floor=0,
        member_count=len(members),
        used_bytes=sum(member.content.size for member in members),
        created_at=row.created_at,
        modified_at=row.modified_at,
        binding_home_id=binding.home_id,
        deleted_revision=binding.deleted_revision,
        timezone=row.timezone,
        source=row.source,
        properties=row.properties if own is None else {**row.properties, **own.properties},
        views=row.views,
        view=tables.homes[binding.home_id].principal_id if shows_copies else None,
    )


def binding_revision(tables: Tables, binding: BindingRow, viewer: int | None) -> int:
    """Latest revision of a collection as a member of the home that shows it; of its own, its contents count too."""
    if binding.deleted_revision is not None or not binding.is_own:
        return binding.revision
    own = None if viewer is None else tables.own_properties.get((binding.collection_id, viewer))
    revision = tables.collections[binding.collection_id].revision
    return max(binding.revision, revision, 0 if own is None else own.revision)


def grants(tables: Tables, viewer: Principal, home_row: HomeRow, collection_id: int | None) -> Grants:
    """What was granted in a home as it concerns a viewer; `collection_id` None: of all its collections."""
    if viewer.id == home_row.principal_id:
        return NO_GRANTS
    groups = tables.groups_of(viewer.id)
    concerned = groups | {viewer.id}
    of_home = [row for row in tables.collections.values() if row.home_id == home_row.id]
    asked = [row.id for row in of_home if collection_id is None or row.id == collection_id]
    return Grants(
        groups,
        tuple(
            (delegate, rights)
            for owner, delegate, rights in sorted(tables.delegations)
            if owner == home_row.principal_id and delegate in concerned
        ),
        tuple(
            (id_, whom, rights)
            for (id_, whom), rights in sorted(tables.shares.items())
            if id_ in asked and whom in concerned
        ),
        tuple(
            ace
            for id_ in asked
            for ace in tables.aces.get(id_, ())
            if not isinstance(ace.whom, int) or ace.whom in concerned
        ),
        tuple(
            (row.id, whom)
            for row in of_home
            for whom in sorted(concerned)
            if (row.id, whom) in tables.inviting and (row.id, whom) in tables.shares
        ),
    )


@dataclass(frozen=True, slots=True)
class Member:
    """A member as its owner sees it, or as a sharee does."""

    row: ObjectRow
    copy: CopyRow | None
    """The sharee's personal copy."""
    etag: str
    text: str | None
    size: int
    busy: tuple[Busy, ...] | None
    """What each component makes busy; None: what the stored occurrences say."""
    alarms: Sequence[AlarmTrigger]
    modified_at: datetime
    by_sharee: bool = False
    blocks: bool = False
    """Whether this is for somebody who does not see the whole of private objects."""

    @property
    def is_part(self) -> bool:
        """Whether this is what others see of a private object."""
        return (self.by_sharee or self.blocks) and self.row.private

    @property
    def revision(self) -> int:
        """The latest revision of the member, or of what the sharee sees of it."""
        return self.row.revision if self.copy is None else max(self.row.revision, self.copy.revision)


def member(tables: Tables, row: ObjectRow, sharee: int | None, *, blocks: bool = False) -> Member:
    """A member as `sharee` sees it; None: as its owner does, or with `blocks` for what is private."""
    content = row.content
    text = content.text if row.restorable else None
    if sharee is None and blocks and row.private and row.neutral_text is not None:
        etag, size = row.neutral_etag or "", octets(row.neutral_text)
        return Member(row, None, etag, row.neutral_text, size, None, (), row.modified_at, blocks=True)
    if sharee is None:
        alarms = content.materialised.alarms if content.materialised is not None else ()
        return Member(row, None, content.etag, text, content.size, None, alarms, row.modified_at)
    copy = tables.copies.get((row.id, sharee))
    if copy is not None:
        view = copy.view
        latest = max(row.modified_at, copy.modified_at)
        return Member(row, copy, view.etag, view.text, view.size, view.busy, view.alarms, latest, by_sharee=True)
    size = content.size if row.neutral_text is None else octets(row.neutral_text)
    seen = text if row.neutral_text is None else row.neutral_text
    etag = row.neutral_etag or content.etag
    return Member(row, None, etag, seen, size, row.neutral_busy, (), row.modified_at, by_sharee=True)


def object_of(found: Member, *, text: bool, viewed: bool) -> Object:
    """The member that a lookup finds."""
    row, content = found.row, found.row.content
    return Object(
        row.id,
        row.name,
        content.uid,
        content.component,
        found.etag,
        None if found.is_part else content.schedule_tag,
        found.size,
        row.revision,
        row.created_at,
        found.modified_at,
        content.time_key,
        {} if found.is_part else row.properties,
        found.copy.revision if viewed and found.copy is not None else 0,
        found.text if text else None,
        content.scheduling.role,
        row.private,
    )


def rows(members: Sequence[Member], columns: Sequence[MemberColumn]) -> Sequence[Row]:
    """Rows of members in their order. Texts behind those that fill a page are left out."""
    found: list[Row] = []
    filled = 0
    for each in members:
        found.append(tuple(_value(each, column, fits=filled < TEXT_PAGE) for column in columns))
        filled += each.size
    return found


def _value(found: Member, column: MemberColumn, *, fits: bool) -> Any:
    row, content = found.row, found.row.content
    match column:
        case "schedule_tag" | "organizer" | "properties" if found.is_part:
            return None
        case "uid" | "component" | "schedule_tag":
            return getattr(content, column)
        case "scheduling":
            return content.scheduling.role
        case "organizer":
            return content.scheduling.organizer
        case "etag" | "size" | "revision" | "modified_at":
            return getattr(found, column)
        case "text":
            return found.text if fits else None
        case "properties":
            return dict(row.properties) or None
        case _:
            return getattr(row, column)
