"""Settings of the limits on input. `server.domain.limits` holds what each means, and the defaults."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Self

from pydantic import ByteSize, field_validator, model_validator

from server.domain.limits import Limits
from server.settings.option import Part, option

_LIMITS = Limits()


class LimitSettings(Part):
    """Limits."""

    max_resource_size: ByteSize = option(
        _LIMITS.max_resource_size,
        "Size of one event, task, journal entry or card.",
        unit="bytes",
        ge=10_000,
        le=1 << 30,
    )
    quota_bytes: ByteSize = option(
        _LIMITS.quota_bytes,
        "Size of everything in one home (a person's calendars, or their address books) that has no quota of its own. "
        "What is kept beside, such as deleted texts, may take as much again.",
        unit="bytes",
        ge=0,
        le=1 << 50,
    )
    max_collections: int = option(
        _LIMITS.max_collections,
        "Collections in one home, inbox and outbox included.",
        ge=10,
        le=10_000,
    )
    max_members: int = option(_LIMITS.max_members, "Objects in one calendar or address book.", ge=100, le=100_000_000)
    max_name_length: int = option(
        _LIMITS.max_name_length, "Length of a name in a URL, decoded.", unit="bytes", ge=100, le=1000
    )
    max_uid_length: int = option(
        _LIMITS.max_uid_length, "Length of the UID of an object.", unit="bytes", ge=100, le=1000
    )
    max_attendees: int = option(_LIMITS.max_attendees, "Attendees of one event.", ge=10, le=1_000_000)
    max_components: int = option(
        _LIMITS.max_components,
        "Components of one object: changed instances, alarms, time zones.",
        ge=100,
        le=1_000_000,
    )
    min_date_time: datetime = option(
        _LIMITS.min_date_time,
        "Earliest date or time in a calendar object.",
        allowed="a date and time in UTC, as 1900-01-01T00:00:00Z",
    )
    max_date_time: datetime = option(
        _LIMITS.max_date_time,
        "Latest date or time in a calendar object.",
        allowed="a date and time in UTC after min_date_time, as 9999-12-31T23:59:59Z",
    )
    max_xml_size: ByteSize = option(
        _LIMITS.max_xml_size, "Size of the XML body of a request.", unit="bytes", ge=10_000, le=1 << 28
    )
    max_property_size: ByteSize = option(
        _LIMITS.max_property_size,
        "Size of a property that a client sets on a resource, as XML.",
        unit="bytes",
        ge=1000,
        le=1 << 26,
    )
    max_properties: int = option(_LIMITS.max_properties, "Such properties of one resource.", ge=10, le=100_000)
    max_personal_properties_size: ByteSize = option(
        _LIMITS.max_personal_properties_size,
        "Size of all properties that one person sets for themselves on a calendar or address book of somebody else, "
        "such as its name and colour. They count against no quota.",
        unit="bytes",
        ge=1000,
        le=1 << 30,
    )
    max_multiget_hrefs: int = option(
        _LIMITS.max_multiget_hrefs, "Objects that one multiget may ask for.", ge=100, le=1_000_000
    )

    @cached_property
    def values(self) -> Limits:
        """The limits for code that knows no settings."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(Limits)}
        values |= {name: int(value) for name, value in values.items() if isinstance(value, int)}
        return Limits(**values)

    @field_validator("min_date_time", "max_date_time")
    @classmethod
    def _check_utc(cls, value: datetime) -> datetime:
        if value.utcoffset() != timedelta(0):
            raise ValueError("not in UTC")
        return value.astimezone(UTC)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.min_date_time >= self.max_date_time:
            raise ValueError("limits.max_date_time must be after limits.min_date_time")
        return self
