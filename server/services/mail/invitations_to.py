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
WAITS_FOR_APPROVAL = "{urn:koyomi:mail}waits-for-approval"
"""A property of an item in the inbox of a room, with any content: its delegates get a notice, since they approve."""
APPROVAL: Mapping[str, str] = {WAITS_FOR_APPROVAL: '<waits-for-approval xmlns="urn:koyomi:mail"/>'}
NOTICES = "notices"
"""Kind of the jobs that find out who gets a notice of an item in an inbox."""

_CONTENT = re.compile(r">\s*([a-z]+)\s*<")


def invitations_to_element(wish: InvitationsTo) -> str | None:
    """The element of this property; None, for `owner`: there is none."""
    return None if wish == "owner" else f'<invitations-to xmlns="urn:koyomi:mail">{wish}</invitations-to>'


def invitations_to(properties: Mapping[str, str]) -> InvitationsTo:
    """The wish of the owner of a home, from the properties of the home; `owner` without one that can be read."""
    found = _CONTENT.search(properties.get(INVITATIONS_TO, ""))
    word = "" if found is None else found[1]
    return cast("InvitationsTo", word) if word in get_args(InvitationsTo) else "owner"


def notices_of(home: Mapping[str, str], item: Mapping[str, str]) -> InvitationsTo:
    """Who gets a notice of an item, from the properties of the home and of the item."""
    wish = invitations_to(home)
    return "delegates" if wish == "owner" and WAITS_FOR_APPROVAL in item else wish


def notice_jobs(
    principal_id: int, properties: Mapping[str, str], items: Iterable[tuple[str, Mapping[str, str]]]
) -> tuple[Job, ...]:
    """The jobs for new items in somebody's inbox.

    :param properties: of the home.
    :param items: the name of each, 32 hexadecimal digits and `.ics`, and its properties.
    """
    return tuple(
        Job(NOTICES, {"principal": principal_id, "item": int(name.removesuffix(".ics"), 16)})
        for name, of_item in items
        if notices_of(properties, of_item) != "owner"
    )
