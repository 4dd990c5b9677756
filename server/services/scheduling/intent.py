"""A planned change of a scheduling object, and the services that make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from server.domain.actors import Actor
from server.domain.changes import (
    Unchanged,
    Write,
    WriteLimits,
)
from server.domain.contents import ObjectContent, ObjectView
from server.domain.values import value
from server.itip.change import Change
from server.itip.messages import Plan
from server.observe.scheduling_counts import SchedulingCounts
from server.services.lookup import Found
from server.services.mail.outgoing import OutgoingMails
from server.services.objects import NO_PROPERTIES, Objects
from server.services.scheduling.former_organizers import NOBODY, FormerOrganizers
from server.services.scheduling.removals import Removal
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.turns import Turns
from server.storage import Storage


class Services(Protocol):
    """What `Sending` needs: `server.services.scheduling.implicit.Scheduling` has it."""

    storage: Storage
    objects: Objects
    limits: WriteLimits
    settings: SchedulingSettings
    counts: SchedulingCounts
    mails: OutgoingMails
    turns: Turns
    max_attendees: int


@value
class Intent:
    """A planned change of a scheduling object."""

    actor: Actor
    found: Found
    """The name that is put or deleted."""
    content: ObjectContent | None
    """What is put; None: the object is deleted."""
    change: Change
    plan: Plan
    unchanged: tuple[Unchanged, ...] = ()
    source: Found | None = None
    """Where the object lies that is moved to the found name; None: it is not moved in its home."""
    also: tuple[Write, ...] = ()
    """Other writes of the actor."""
    removal: Removal | None = None
    """What the removal of the meeting from another home sends, before this change. Jobs deliver all messages then."""
    properties: Mapping[str, str] = field(default_factory=lambda: NO_PROPERTIES)
    """Dead properties of a new object."""
    view: ObjectView | None = None
    """What a sharee who acts sees of it."""
    former: FormerOrganizers = NOBODY
    """Who organized the meeting before the change hands it over."""
