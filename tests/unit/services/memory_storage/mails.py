"""Scheduling messages to people elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from server.domain.mails import NewMails
from server.storage.mails import MAIL, NOTICE, SENDING, MailLimits, MailOutcome, MailState, OutgoingMail
from tests.unit.services.memory_storage import seen
from tests.unit.services.memory_storage.tables import MailRow, NoticeRow, Tables

LEFT = ("waiting", "sending")


def store_mails(tables: Tables, sent: NewMails) -> None:
    """Store the mails of a change set, in its transaction."""
    now = tables.clock()
    for id_, row in list(tables.mails.items()):
        if (row.home_id, row.uid, row.status) == (sent.home_id, sent.uid, "waiting") and row.withdrawable:
            tables.mails[id_] = replace(row, status="dropped") if sent.withdraws else row
    waiting = {id_: row for id_, row in tables.mails.items() if row.status == "waiting"}
    for new in sent.mails:
        before = None if new.before is None else sent.texts[new.before]
        replaced = [
            id_
            for id_, row in waiting.items()
            if (row.home_id, row.uid, row.recipient, row.method) == (sent.home_id, sent.uid, new.recipient, new.method)
            and set(row.instances) <= set(new.instances)
        ]
        if replaced:
            before = tables.mails[replaced[0]].before
        for id_ in replaced:
            tables.mails[id_] = replace(tables.mails[id_], status="replaced")
        tables.mails[tables.new_id()] = MailRow(
            home_id=sent.home_id,
            uid=sent.uid,
            meeting=sent.meeting,
            method=new.method,
            recipient=new.recipient,
            address=new.address,
            instances=new.instances,
            text=sent.texts[new.message],
            before=before,
            withdrawable=new.delay > timedelta(0),
            created_at=now,
        )


class MailStorage:
    """What jobs that send mails call."""

    tables: Tables

    async def begin_mail(self, home_id: int, id_: int, limits: MailLimits) -> OutgoingMail | Literal["limited"] | None:
        tables, now = self.tables, self.tables.clock()
        row = tables.mails.get(id_)
        if row is None or row.home_id != home_id or row.status not in LEFT:
            return None
        if self._is_limited(home_id, limits):
            return "limited"
        row = tables.mails[id_] = replace(row, status="sending", first_tried_at=row.first_tried_at or now)
        sender = seen.principal(tables.principals[tables.homes[home_id].principal_id])
        place = home_id, id_, sender, row.uid, row.meeting, row.method, row.recipient, row.address
        return OutgoingMail(*place, row.text, row.before, row.created_at, row.first_tried_at or now)

    def _is_limited(self, home_id: int, limits: MailLimits) -> bool:
        tables, now = self.tables, self.tables.clock()
        of_home = [each for each in tables.mails.values() if each.home_id == home_id]
        told = [each for (home, _, _), each in tables.notices.items() if home == home_id]
        times = [*(each.sent_at for each in of_home), *(each.sent_at for each in told)]
        sent = [at for at in times if at is not None]
        hour = sum(at > now - timedelta(hours=1) for at in sent)
        return hour >= limits.per_hour or sum(at > now - timedelta(days=1) for at in sent) >= limits.per_day

    async def begin_notice(
        self, home_id: int, object_id: int, recipient_id: int, limits: MailLimits
    ) -> Literal["begun", "limited", "ended"]:
        notices, key = self.tables.notices, (home_id, object_id, recipient_id)
        row = notices.setdefault(key, NoticeRow(self.tables.clock()))
        if row.status != "sending":
            return "ended"
        if self._is_limited(home_id, limits):
            notices[key] = replace(row, status="failed")
            return "limited"
        return "begun"

    async def end_notice(self, home_id: int, object_id: int, recipient_id: int, *, sent: bool) -> None:
        notices, key = self.tables.notices, (home_id, object_id, recipient_id)
        if notices[key].status == "sending":
            at = self.tables.clock() if sent else None
            notices[key] = replace(notices[key], status="sent" if sent else "failed", sent_at=at)

    async def mail_sent(self, home_id: int, id_: int, status: str) -> None:
        self._end(home_id, id_, "sent", status)

    async def mail_failed(self, home_id: int, id_: int, status: str, error: str) -> None:
        self._end(home_id, id_, "failed", status)

    def _end(self, home_id: int, id_: int, ended: str, status: str) -> None:
        tables = self.tables
        row = tables.mails.get(id_)
        if row is not None and row.home_id == home_id and row.status in (*LEFT, "sent"):
            sent_at = row.sent_at or tables.clock() if ended == "sent" else row.sent_at
            tables.mails[id_] = replace(row, status=ended, unstated=status, sent_at=sent_at)

    async def mail_delayed(self, home_id: int, id_: int, error: str) -> None:
        row = self.tables.mails[id_]
        if row.home_id == home_id and row.status == "sending":
            self.tables.mails[id_] = replace(row, status="waiting")

    async def mail_outcomes(self, home_id: int, meeting: int) -> Sequence[MailOutcome]:
        return [
            MailOutcome(id_, self.tables.homes[home_id].principal_id, row.uid, row.recipient, row.unstated)
            for id_, row in sorted(self.tables.mails.items())
            if (row.home_id, row.meeting) == (home_id, meeting) and row.unstated is not None
        ]

    async def outcomes_stated(self, home_id: int, outcomes: Sequence[MailOutcome]) -> None:
        for each in outcomes:
            row = self.tables.mails[each.id]
            if row.unstated == each.status:
                self.tables.mails[each.id] = replace(row, unstated=None)

    async def mail_state(self) -> MailState:
        rows = self.tables.mails.values()
        left = [row.created_at for row in rows if row.status in LEFT]
        sent, failed = (sum(row.status == status for row in rows) for status in ("sent", "failed"))
        tables = self.tables
        told = [each.status for each in tables.notices.values()]
        return MailState(
            tables.mail_held,
            len(left),
            min(left, default=None),
            sent,
            failed,
            tables.mail_url,
            tables.restored_at,
            sum(job.kind == NOTICE for job in tables.jobs),
            told.count("sent"),
            told.count("failed"),
        )

    async def mailed_since(self, home_id: int, uid: str, since: datetime) -> bool:
        rows = self.tables.mails.values()
        return any((row.home_id, row.uid) == (home_id, uid) and row.created_at >= since for row in rows)

    async def restored_at(self) -> datetime | None:
        return self.tables.restored_at

    async def hold_if_moved(self, url: str) -> bool:
        tables, before = self.tables, self.tables.mail_held
        tables.mail_held = before or tables.mail_url not in (None, url)
        tables.mail_url = url if tables.mail_url is None else tables.mail_url
        return tables.mail_held and not before

    async def release_mails(self, url: str) -> bool:
        held, self.tables.mail_held, self.tables.mail_url = self.tables.mail_held, False, url
        return held

    async def discard_mails(self) -> int:
        left = [id_ for id_, row in self.tables.mails.items() if row.status in LEFT]
        for id_ in left:
            self.tables.mails[id_] = replace(self.tables.mails[id_], status="dropped")
        notices = [job for job in self.tables.jobs if job.kind in SENDING and job.kind != MAIL]
        for job in notices:
            self.tables.jobs.remove(job)
        return len(left) + len(notices)
