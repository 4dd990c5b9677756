"""The protocol for scheduling messages to people elsewhere. The rules of `server.storage` apply.

`Storage.apply` stores a mail as waiting, with a job of the kind `MAIL` that has its id. A run of the job begins the
mail, sends it, and ends it. Each of these is a statement of its own: no transaction is open while a mail server is
spoken to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from server.domain.principals import Principal

MAIL = "mail"
"""Kind of the jobs that send a mail."""
NOTICE = "notice"
"""Kind of the jobs that send a notice to one person (`server.services.mail.notices`)."""
CHECK_IN_LINKS = "rooms.check_in_link"
"""Kind of the jobs that send an organizer a link to check in. The payload has the room's home, and the event there by
its id, or by its name where it is new."""
RELEASED = "rooms.released"
"""Kind of the jobs that tell an organizer of a released booking; `Storage.miss` stores them."""
SENDING = (MAIL, NOTICE, CHECK_IN_LINKS, RELEASED)
"""The kinds that are held and released together: they send mails."""
MAIL_OUTCOMES = "mail_outcomes"
"""Kind of the jobs that write what became of mails into the sender's object."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail that is to be sent."""

    home_id: int
    id: int
    sender: Principal
    """The owner of the home."""
    uid: str
    meeting: int
    method: str
    recipient: str
    """As in `server.domain.mails.NewMail`."""
    address: str
    text: str
    """The message."""
    before: str | None
    """The meeting as the recipient knows it; None where they do not."""
    created_at: datetime
    first_tried_at: datetime
    """When it was first begun."""


@dataclass(frozen=True, slots=True)
class MailLimits:
    """How many recipients a person may send mails to."""

    per_hour: int
    per_day: int


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """What became of a mail."""

    id: int
    sender: int
    """The id of the principal in whose name it was sent."""
    uid: str
    recipient: str
    """As in `server.domain.mails.NewMail`."""
    status: str
    """SCHEDULE-STATUS."""


@dataclass(frozen=True, slots=True)
class MailRecord:
    """A mail as administrators see it."""

    created_at: datetime
    sender: str
    """The name of the principal."""
    address: str
    method: str
    status: str
    """`waiting`, `sending`, `sent`, `failed`, `replaced` by a newer one, or `dropped`."""
    tries: int
    sent_at: datetime | None
    error: str | None
    """What the mail server said last."""


@dataclass(frozen=True, slots=True)
class MailState:
    """The mails of an installation."""

    held: bool
    """Whether none is sent until an administrator releases them."""
    waiting: int
    """Those that are not sent yet."""
    oldest: datetime | None
    """When the oldest of these was stored."""
    sent: int
    """In the last day."""
    failed: int
    """In the last day."""
    url: str | None
    """The public URL under which they were last sent or released."""
    restored_at: datetime | None
    """When a backup was last restored."""
    notices_waiting: int = 0
    """Notices to those who act for others that are not sent yet."""
    notices_sent: int = 0
    """In the last day."""
    notices_failed: int = 0
    """In the last day."""


@runtime_checkable
class Mails(Protocol):
    """Scheduling messages to people elsewhere."""

    async def begin_mail(self, home_id: int, id_: int, limits: MailLimits) -> OutgoingMail | Literal["limited"] | None:
        """Begin to send a mail, which no newer one replaces from then on.

        None where it is not to be sent (any more); `limited` where its sender has sent too many, notices included.
        """

    async def begin_notice(
        self, home_id: int, object_id: int, recipient_id: int, limits: MailLimits
    ) -> Literal["begun", "limited", "ended"]:
        """Begin to send a notice of an item in the inbox of a home, in the name of its owner.

        `limited` where too many mails and notices were sent in this name; `ended` where this one was sent, or failed.
        """

    async def end_notice(self, home_id: int, object_id: int, recipient_id: int, *, sent: bool) -> None:
        """End a notice that a mail server took (`sent`), or that cannot be sent."""

    async def mail_sent(self, home_id: int, id_: int, status: str) -> None:
        """End a mail that a mail server took. `status` is its SCHEDULE-STATUS, which a job writes."""

    async def mail_failed(self, home_id: int, id_: int, status: str, error: str) -> None:
        """End a mail that cannot be sent, or that has come back."""

    async def mail_delayed(self, home_id: int, id_: int, error: str) -> None:
        """Let a mail wait that could not be sent yet; a newer one may replace it again."""

    async def mail_outcomes(self, home_id: int, meeting: int) -> Sequence[MailOutcome]:
        """What became of mails about a meeting and is not written into the sender's object, by id."""

    async def outcomes_stated(self, home_id: int, outcomes: Sequence[MailOutcome]) -> None:
        """Say that outcomes are written."""

    async def mail_state(self) -> MailState:
        """The mails of all homes."""

    async def mailed_since(self, home_id: int, uid: str, since: datetime) -> bool:
        """Whether a mail about a UID was stored since a time, which is not before the last restore. It does not matter
        whether the mail itself was removed meanwhile."""

    async def restored_at(self) -> datetime | None:
        """When a backup was last restored; None: never."""

    async def hold_if_moved(self, url: str) -> bool:
        """Hold all mails if they were last sent under another public URL; returns whether they were not held before."""

    async def release_mails(self, url: str) -> bool:
        """Send mails again, under a public URL; returns whether they were held."""

    async def discard_mails(self) -> int:
        """Drop all mails and notices that are not sent yet, with their jobs; returns their number."""
