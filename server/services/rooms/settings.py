"""Settings of rooms and equipment."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, field_validator

from server.domain.principals import name_key
from server.settings.option import Part, option


def _listed(value: object) -> object:
    """Features from a list, or from text with commas between them (the environment)."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("not a list of texts")
    return tuple(dict.fromkeys(name_key(item.strip()) for item in value if item.strip()))


class RoomSettings(Part):
    """Rooms and equipment."""

    mail_domain: str = option(
        "",
        "The domain of the mail addresses that rooms and equipment get where none is given: blue-room@ this domain for "
        "Blue Room. If empty, they get none.",
        allowed="a domain, or empty",
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*)?$",
        max_length=190,
    )
    features: Annotated[tuple[str, ...], BeforeValidator(_listed)] = option(
        (),
        "What rooms and equipment can have. Other features are refused. If empty, all are taken.",
        allowed='a list of texts, as ["projector", "video"] (in the environment: with commas between them), or empty',
    )

    directory_in_home_set: bool = option(
        False,
        "Show the address book of rooms and equipment with everybody's own address books, for apps that know no "
        "directories (CARDDAV:addressbook-home-set has two homes then, and some apps take one alone).",
    )

    check_in_minutes: int = option(
        15,
        "How long after its start a booking waits for its check-in, in rooms that release what nobody checks in.",
        unit="minutes",
        ge=1,
        le=1440,
    )
    check_in_opens_minutes: int = option(
        120, "How long before its start a booking can be checked in.", unit="minutes", ge=0, le=1440
    )

    @field_validator("mail_domain")
    @classmethod
    def _fold_domain(cls, value: str) -> str:
        return value.lower()
