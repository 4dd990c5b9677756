"""Messages of the bus: what happened, as ids and revisions, in the form of CloudEvents 1.0 in JSON.

A message never holds texts, names or addresses. Readers ignore fields that they do not know: fields are only added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from server.domain.values import value

CONTENT_TYPE = "application/cloudevents+json"
"""The media type of a message in the structured mode of CloudEvents."""
PREFIX = "koyomi."
"""What the `type` of every message begins with; the kind follows."""
_TRACE_CONTEXT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""`traceparent` (Trace Context §3.2)."""

_HOME = ("home", "revision")
_COLLECTION = (*_HOME, "collection")
_OBJECT = (*_COLLECTION, "object")
_PERSON = ("subject",)


@value
class Message:
    """What happened: ids and codes, never texts, names or addresses."""

    seq: int
    """The number in the journal."""
    act: bool
    """Whether somebody did it; if not, it follows from an act: a refresh, a touch, a new derivation."""
    month: date
    """The part of the journal in which `seq` is found."""
    at: datetime
    kind: str
    home_id: int
    """0: it concerns no home."""
    revision: int
    collection_id: int | None
    object_id: int | None
    subject_id: int | None
    """The principal that it concerns, where it is not one of a home."""
    principal_id: int | None
    acting_for: int | None
    origin: str
    request_id: str
    change: int | None
    """Equal for all messages of one transaction."""
    trace: str | None
    """The trace context (`traceparent`) of the request."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What messages are divided into. Messages of a topic with one key come in their order."""

    name: str
    attribute: str
    """The attribute of messages that is the key."""

    def key(self, message: Message) -> int:
        """The key of a message; 0 if it has none."""
        return int(getattr(message, self.attribute) or 0)


EVENTS = Topic("calendar.events", "home_id")
"""All that happens, keyed by home."""
NOTIFICATIONS = Topic("notifications", "subject_id")
"""What concerns one person, keyed by that person. It is in `EVENTS`, too."""
SYNC_REQUESTS = Topic("sync.requests", "collection_id")
"""Requests to synchronize a remote calendar, keyed by the collection that mirrors it."""
TOPICS = (EVENTS, NOTIFICATIONS, SYNC_REQUESTS)
"""All topics."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of messages."""

    described: str
    fields: tuple[str, ...] = ()
    """Fields of the data, beside those of every message, that are always there."""
    topics: tuple[Topic, ...] = (EVENTS,)
    """Where messages of the kind go."""


KINDS: Mapping[str, Kind] = {
    "access-refused": Kind("A person was refused something for want of a privilege."),
    "administrator-read": Kind("An administrator read in the home of somebody else.", _PERSON),
    "app-password-added": Kind("A person got an app password.", _PERSON, (EVENTS, NOTIFICATIONS)),
    "app-password-revoked": Kind("An app password of a person became invalid.", _PERSON, (EVENTS, NOTIFICATIONS)),
    "binding": Kind("A shared collection appeared in a sharee's home, changed its rights there, or went.", _COLLECTION),
    "binding-touched": Kind("Something in a collection changed that this home shows as a shared one.", _COLLECTION),
    "collection-acl": Kind("The access control list of a collection changed.", _COLLECTION),
    "collection-copied": Kind("A collection and all that is in it was copied to here: look at all of it.", _COLLECTION),
    "collection-created": Kind("A collection was made, restored or handed over: look at all of it.", _COLLECTION),
    "collection-deleted": Kind("A collection and all that was in it went.", _COLLECTION),
    "collection-moved": Kind("A collection got another name, or another place.", _COLLECTION),
    "collection-properties": Kind("Properties of a collection changed.", _COLLECTION),
    "collection-view": Kind("A sharee's own properties of a shared collection changed.", (*_COLLECTION, "subject")),
    "created": Kind("An object was added.", _OBJECT),
    "deleted": Kind("An object was deleted.", _OBJECT),
    "exported": Kind("Data was written to files by a command."),
    "home-properties": Kind("Properties of a home changed.", _HOME),
    "moved-in": Kind("An object came from another collection.", _OBJECT),
    "moved-out": Kind("An object went to another collection.", _OBJECT),
    "principal-changed": Kind("Something about a principal changed.", _PERSON),
    "principal-created": Kind("A person, group, room or piece of equipment was added.", _PERSON),
    "principal-delegates": Kind("The delegates of a principal changed.", _PERSON, (EVENTS, NOTIFICATIONS)),
    "principal-deleted": Kind("A principal was deleted; it can be restored for a while.", _PERSON),
    "principal-members": Kind("The members of a group changed.", _PERSON),
    "principal-purged": Kind("A principal and all its data went for good.", _PERSON),
    "properties": Kind("Properties of an object changed.", _OBJECT),
    "service-token-added": Kind("Somebody got a service token.", _PERSON),
    "service-token-revoked": Kind("A service token became invalid.", _PERSON),
    "settings-changed": Kind("A server was started with other settings than before."),
    "shared": Kind(
        "A collection was shared with a principal, or is no longer.",
        ("home", "collection", "subject"),
        (EVENTS, NOTIFICATIONS),
    ),
    "sign-in-refused": Kind("Somebody tried to sign in, and was refused."),
    "signed-in": Kind("A person signed in.", _PERSON),
    "updated": Kind("An object was changed.", _OBJECT),
    "view": Kind("A sharee's own parts of an object changed, as alarms.", _OBJECT),
}
"""All kinds, by name."""


def topics_of(kind: str) -> tuple[Topic, ...]:
    """Where messages of a kind go. Kinds that are not known, as those of a later version, are events."""
    known = KINDS.get(kind)
    return (EVENTS,) if known is None else known.topics


_DATA = {
    "seq": ("integer", "The number of the change; numbers rise, within a home in the order of commits."),
    "act": ("boolean", "Whether somebody did it; if not, it follows from what somebody did."),
    "month": ("string", "The month of the journal in which the number is found (YYYY-MM)."),
    "home": ("integer", "The id of the home."),
    "revision": ("integer", "The revision of the home after the change."),
    "collection": ("integer", "The id of the collection."),
    "object": ("integer", "The id of the object."),
    "subject": ("integer", "The id of the principal that it concerns."),
    "principal": ("integer", "The id of the principal who did it."),
    "acting_for": ("integer", "The id of the principal in whose name it was done."),
    "origin": ("string", "A code for where it came from, as dav or cli."),
    "request": ("string", "The id of the request."),
    "change": ("integer", "Equal for all messages of one transaction."),
}
_ALWAYS = ("seq", "act", "month", "origin")
_FIELDS = (
    ("collection", "collection_id"),
    ("object", "object_id"),
    ("subject", "subject_id"),
    ("principal", "principal_id"),
    ("acting_for", "acting_for"),
    ("change", "change"),
)
"""Fields that may be missing, with the attributes that they come from."""


def encode(message: Message, source: str, further: Mapping[str, str] | None = None) -> bytes:
    """A message as a CloudEvent in JSON. `source` names the installation: a reference as of a URI. `further` are
    extension attributes."""
    data: dict[str, Any] = {
        "seq": message.seq,
        "act": message.act,
        "month": f"{message.month:%Y-%m}",
        "origin": message.origin,
    }
    if message.home_id:
        data["home"] = message.home_id
        data["revision"] = message.revision
    if message.request_id:
        data["request"] = message.request_id
    data |= {name: id_ for name, attribute in _FIELDS if (id_ := getattr(message, attribute)) is not None}
    event = {
        "specversion": "1.0",
        "id": str(message.seq),
        "source": source,
        "type": PREFIX + message.kind,
        "time": message.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    if message.home_id:
        event["subject"] = f"homes/{message.home_id}"
    # The extension "distributed tracing" of CloudEvents.
    if message.trace is not None and _TRACE_CONTEXT.fullmatch(message.trace):
        event["traceparent"] = message.trace
    if further:
        event |= further
    return json.dumps(event, separators=(",", ":")).encode()


def decode(text: bytes) -> Message:
    """The message in a CloudEvent. Raises `ValueError` if there is none; fields that are not known are ignored."""
    try:
        event = json.loads(text)
        data, kind = event["data"], event["type"]
        if event["specversion"] != "1.0" or not kind.startswith(PREFIX):
            raise ValueError("no CloudEvent 1.0 of Koyomi")
        integers = {name: data.get(name) for name, (form, _) in _DATA.items() if form == "integer"}
        if not all(number is None or type(number) is int for number in integers.values()) or integers["seq"] is None:
            raise ValueError("an id is no integer")
        return Message(
            seq=data["seq"],
            act=bool(data["act"]),
            month=datetime.strptime(data["month"], "%Y-%m").date(),
            at=datetime.fromisoformat(event["time"]).astimezone(UTC),
            kind=kind.removeprefix(PREFIX),
            home_id=data.get("home", 0),
            revision=data.get("revision", 0),
            origin=str(data["origin"]),
            request_id=str(data.get("request", "")),
            trace=event.get("traceparent"),
            **{attribute: data.get(name) for name, attribute in _FIELDS},
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no message: {type(error).__name__}") from error


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the messages of a kind."""
    described = KINDS[kind]
    fields: dict[str, dict[str, Any]] = {
        name: {"type": form, "description": said} for name, (form, said) in _DATA.items()
    }
    fields["month"]["pattern"] = "^[0-9]{4}-(0[1-9]|1[0-2])$"
    fields["seq"]["minimum"] = 1
    required = {*_ALWAYS, *described.fields}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": PREFIX + kind,
        "description": described.described,
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
            "source": {"type": "string", "format": "uri-reference", "minLength": 1},
            "type": {"const": PREFIX + kind},
            "time": {"type": "string", "format": "date-time"},
            "subject": {"type": "string", "pattern": "^homes/[1-9][0-9]*$"},
            "datacontenttype": {"const": "application/json"},
            "traceparent": {"type": "string", "pattern": f"^{_TRACE_CONTEXT.pattern}$"},
            "data": {
                "type": "object",
                "properties": fields,
                "required": [name for name in _DATA if name in required],
            },
        },
        "required": ["specversion", "id", "source", "type", "time", "data"],
    }
