"""Who gets a notice by mail of invitations that arrive in somebody's inbox: their delegates, if the person wants so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, cast, get_args

from server.domain.jobs import Job

InvitationsTo = Literal["owner", "delegates", "both"]
"""`owner`: nobody gets a notice, since the owner's apps show the inbox. `both`: the owner gets a notice, too."""
INVITATIONS_TO = "{urn:koyomi:mail}invitations-to"
"""A property of a calendar home, with one of these words."""


def invitations_to_element(wish: InvitationsTo) -> str | None:
    """The element of this property; None, for `owner`: there is none."""
    return None if wish == "owner" else f'<invitations-to xmlns="urn:koyomi:mail">{wish}</invitations-to>'


NOTICES = "notices"
"""Kind of the jobs that find out who gets a notice of an item in an inbox."""

_CONTENT = re.compile(r">\s*([a-z]+)\s*<")


def invitations_to(properties: Mapping[str, str]) -> InvitationsTo:
    """The wish of the owner of a home, from the properties of the home; `owner` without one that can be read."""
    found = _CONTENT.search(properties.get(INVITATIONS_TO, ""))
    word = "" if found is None else found[1]
    return cast("InvitationsTo", word) if word in get_args(InvitationsTo) else "owner"


def notice_jobs(principal_id: int, properties: Mapping[str, str], items: Iterable[str]) -> tuple[Job, ...]:
    """The jobs for new items in somebody's inbox, by their names: 32 hexadecimal digits and `.ics`."""
    if invitations_to(properties) == "owner":
        return ()
    return tuple(
        Job(NOTICES, {"principal": principal_id, "item": int(name.removesuffix(".ics"), 16)}) for name in items
    )
