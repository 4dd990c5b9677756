"""What attendees' messages do to the organizer's object: REPLY (RFC 5546 §3.2.3).

An answer counts when its SEQUENCE is at least that of the last reset of the instance for this attendee, and it is not
older than their last answer about it, by SEQUENCE and DTSTAMP. An answer from elsewhere without SEQUENCE counts by its
arrival.
"""

from __future__ import annotations

from dataclasses import replace

from server.domain.errors import InvalidData
from server.itip.audience import NO_VIEW, views
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.delegation import NOBODY
from server.itip.delegation import answer as answer_of
from server.itip.instances import covering, derived, describing, master_instance, recurs, with_range, without_first
from server.itip.lines import Line, made
from server.itip.messages import Answered, Message, Method, Reset
from server.itip.participants import (
    ATTENDEE_COMMENT,
    DELEGATED,
    NEEDS_ACTION,
    PRIVATE_COMMENT,
    all_attendees,
    attendee_line,
    attendees,
    is_organizer,
    map_attendee,
    partstat,
)
from server.itip.reception import IGNORED, PENDING, Outcome, Received, Rows, Version, resets_of, stamp_of
from server.itip.refreshing import request_of
from server.itip.scheduling_component import MASTER, THIS_AND_FUTURE, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_COMMENT_OF = "X-CALENDARSERVER-ATTENDEE-REF"
_COMMENTED = "X-CALENDARSERVER-DTSTAMP"
_SUCCESS = "2.0"


def receive_reply(
    message: Message, value: SchedulingObject | None, directory: Directory, rows: Rows, dtstamp: str
) -> Received:
    """What a REPLY does to the organizer's object.

    An answer about an instance makes an override where it differs from what the series says of the attendee. A delegate
    is added (`server.itip.delegation`); somebody else who is not invited changes nothing, but the organizer finds the
    answer in the inbox.

    :param dtstamp: the time now, as a UTC value.
    """
    if value is None or not is_organizer(value, message.recipient, directory):
        return IGNORED
    return _Reply(message, value, directory, rows, dtstamp).received()


class _Reply:
    """The merge of one REPLY into the organizer's object."""

    def __init__(
        self, message: Message, value: SchedulingObject, directory: Directory, rows: Rows, dtstamp: str
    ) -> None:
        self._message = message
        self._user = message.sender
        self._before = value
        self._value = value
        self._directory = directory
        self._last = {
            each.instance: Version(each.sequence, each.dtstamp)
            for each in rows.answers
            if each.attendee == message.sender.key
        }
        self._resets = resets_of(rows.resets, message.sender)
        self._dtstamp = dtstamp
        self._answers: list[Answered] = []
        self._changed: set[str] = set()
        self._invited: dict[str, CalendarUser] = {}
        self._asked: list[Reset] = []
        self._is_out_of_order = False
        self._has_followed = False
        """Whether an override has another answer now that the sender gave for the series, and their copy may not."""

    def received(self) -> Received:
        """The result."""
        if not self._is_known():
            mine = any(attendee_line(each, self._user, self._directory) for each in self._message.object.components)
            return Received(Outcome.APPLIED, item=True) if mine else IGNORED
        # The series first: what the answer for an instance is compared with.
        components = sorted(self._message.object.components, key=lambda each: each.instance != MASTER)
        counted = [each for each in components if self._take(each)]
        for each in components:
            self._follow(self._value.instance_of(each.first("RECURRENCE-ID")))
        # One that is sent again and changes nothing says what the object said: the exchange ends.
        is_news = self._message.quiet and self._value is not self._before
        told = self._told_again() if self._is_out_of_order or is_news or self._asked or self._has_followed else ()
        if not counted:
            return replace(IGNORED, messages=told)
        return Received(
            Outcome.APPLIED,
            object=None if self._value is self._before else self._value,
            item=not self._message.quiet,
            answers=tuple(self._answers),
            changed=frozenset(self._changed),
            resets=tuple(self._asked),
            invited=tuple(self._invited.values()),
            messages=told,
        )

    def _told_again(self) -> tuple[Message, ...]:
        """A quiet REQUEST with all answers of the sender as they are now.

        It follows a REPLY that came out of order, since it crossed a change of the organizer or a later answer; one
        that was sent again and changed something (`server.itip.crossed_answers`); a delegation that invites somebody.
        """
        if not self._user.is_here:
            return ()
        view = views(self._value, self._directory, self._message.recipient).get(self._user.key, NO_VIEW)
        if not view.instances:
            return ()
        request = request_of(self._value, view, view.instances, self._dtstamp)
        return (Message(Method.REQUEST, self._message.recipient, self._user, request, quiet=True),)

    def _is_known(self) -> bool:
        """Whether the sender is invited, or somebody who is invited has delegated to them."""
        if self._user.key in all_attendees(self._before, self._directory):
            return True
        return any(self._delegator(each) is not None for each in self._message.object.components)

    def _delegator(self, component: SchedulingComponent) -> CalendarUser | None:
        """The attendee of the object whom the sender says to have the invitation from.

        None where both are here: the REPLY of the delegator comes before that of the delegate, or counts no more.
        """
        own = attendee_line(component, self._user, self._directory)
        known = all_attendees(self._before, self._directory)
        for address in [] if own is None else own.params.get("DELEGATED-FROM", []):
            found = known.get(self._directory.key(address))
            if found is not None and not (found.is_here and self._user.is_here):
                return found
        return None

    # -- one component of the REPLY -----------------------------------------------------------------------------------

    def _take(self, component: SchedulingComponent) -> bool:
        """Merge the answer about one instance; whether it counts."""
        answer = attendee_line(component, self._user, self._directory)
        if answer is None:
            return False
        instance = self._value.instance_of(component.first("RECURRENCE-ID"))
        target = self._target(instance, component.is_range)
        if target is None:
            return False
        version = self._version(component, instance)
        self._is_out_of_order = self._is_out_of_order or self._is_overtaken(instance, version)
        if not self._counts(instance, version):
            return False
        if target.is_range and not component.is_range:
            target = self._first_alone(target)
        self._answers.append(Answered(self._user.key, instance, version.sequence, version.dtstamp))
        statuses = [line.value.split(";")[0].strip() for line in component.all("REQUEST-STATUS")]
        new = self._answered(target, answer, component, statuses or [_SUCCESS])
        new = self._commented(new, component)
        if new is target:
            return instance not in self._last or version > self._last[instance]
        if instance not in self._value.by_instance and _same_answer(target, new, self._user, self._directory):
            # The series says so of this instance already.
            return True
        before = attendees(target, self._directory)
        if any(
            key not in before or _participation(line) != _participation(before[key])
            for key, line in attendees(new, self._directory).items()
        ):
            self._changed.add(instance)
        self._value = self._value.with_component(new)
        return True

    def _follow(self, instance: str) -> None:
        """Let overrides follow an answer for the series where they had the same answer as that before.

        The attendee need not know of them: a change that others do not see makes an override, too. Ranges
        (THISANDFUTURE) follow the series, and what lies in a range follows it.
        """
        answer = next((each for each in self._answers if each.instance == instance), None)
        before, now = self._before.by_instance.get(instance), self._value.by_instance.get(instance)
        if answer is None or before is None or now is None or not (instance == MASTER or now.is_range):
            return
        old, new = (attendee_line(each, self._user, self._directory) for each in (before, now))
        if old is None or new is None:
            return
        former = answer_of(old, self._directory)
        if former == answer_of(new, self._directory):
            return
        version = Version(answer.sequence, answer.dtstamp)
        named = {self._value.instance_of(each.first("RECURRENCE-ID")) for each in self._message.object.components}
        given = {name: new.params.get(name) for name in ("PARTSTAT", "RSVP", "DELEGATED-TO", "SCHEDULE-STATUS")}
        segments = {instance}
        for component in sorted(self._value.overrides, key=lambda each: not each.is_range):
            series = self._value.master if component.is_range else covering(self._value, component.instance)
            line = attendee_line(component, self._user, self._directory)
            if series is None or series.instance not in segments or component.instance in named or line is None:
                continue
            if component.token("STATUS") == "CANCELLED" or answer_of(line, self._directory) != former:
                continue
            if self._counts(component.instance, version):
                followed = map_attendee(
                    component, self._user, self._directory, lambda line: line.with_parameters(given)
                )
                self._value = self._value.with_component(self._with_named_delegates(followed, new))
                self._changed.add(component.instance)
                self._has_followed = self._has_followed or former != (NEEDS_ACTION, NOBODY)
                segments.add(component.instance)

    def _target(self, instance: str, ranged: bool) -> SchedulingComponent | None:
        """The component that an answer is about, or one to be made for the instance; None where there is none.

        :param ranged: whether the answer is for a range (THISANDFUTURE).
        """
        own = self._value.by_instance.get(instance)
        if own is not None:
            return own
        if instance == MASTER or self._value.master is None or not recurs(self._value.master):
            return None
        try:
            if master_instance(self._value, instance) is None:
                return None
        except InvalidData:
            return None
        found, series = derived(self._value, instance), covering(self._value, instance)
        if found is None or not ranged:
            return found
        return with_range(found, THIS_AND_FUTURE) if series is not None and series.is_range else None

    def _first_alone(self, target: SchedulingComponent) -> SchedulingComponent:
        """The override of the first instance of a range (THISANDFUTURE), which begins with the next one from now on."""
        first = with_range(target, None)
        # The copy does not know of a range that begins here.
        self._is_out_of_order = True
        self._value = self._value.with_components([*without_first(self._value, target).components, first])
        self._changed.add(target.instance)
        return first

    def _version(self, component: SchedulingComponent, instance: str) -> Version:
        """The version of an answer, without DTSTAMP from now.

        Without SEQUENCE it is 0 (RFC 5546 §3.2.3), from elsewhere the present one: some programs leave it out. Where
        the attendee has answered later, it is that of the later answer: DTSTAMP alone tells which came first.
        No answer is one to what the organizer has not sent yet, nor from the future: later ones would not count.
        """
        sequence, stamp = component.sequence, stamp_of(component) or self._dtstamp
        if component.first("SEQUENCE") is None and not self._user.is_here:
            present = describing(self._value, instance)
            last = self._last.get(instance)
            known = 0 if last is None else last.sequence
            is_older = last is not None and stamp < last.dtstamp
            sequence = known if is_older else max(known, 0 if present is None else present.sequence)
        sent = max([self._value.sequence, *self._resets.values()])
        return Version(min(sequence, sent), min(stamp, self._dtstamp))

    def _is_overtaken(self, instance: str, version: Version) -> bool:
        """Whether the attendee had not read the present version of an instance, or answered again since."""
        present = describing(self._before, instance)
        # An answer for the series is one for all instances.
        known = (self._last.get(instance), self._last.get(MASTER)) if instance != MASTER else self._last.values()
        later = any(each is not None and each > version for each in known)
        return later or (present is not None and present.sequence > version.sequence)

    def _counts(self, instance: str, version: Version) -> bool:
        # A reset of the series concerns instances that had no override then. An answer that is too old for it, but not
        # for the override, comes again (`server.itip.invitation`).
        resets = (self._resets.get(instance), self._resets.get(MASTER))
        if any(reset is not None and version.sequence < reset for reset in resets):
            return False
        last = self._last.get(instance)
        return last is None or version >= last

    def _answered(
        self, target: SchedulingComponent, answer: Line, component: SchedulingComponent, statuses: list[str]
    ) -> SchedulingComponent:
        """A component with the answer, and with the delegate whom it names."""
        failed = all(status[:1] in ("3", "4", "5") for status in statuses)
        named = answer.params.get("DELEGATED-TO", []) if partstat(answer) == DELEGATED else []

        def answered(line: Line) -> Line:
            line = line.with_parameter("SCHEDULE-STATUS", ",".join(statuses))
            if failed:
                return line
            given = partstat(answer)
            default = given == NEEDS_ACTION and line.parameter("PARTSTAT") is None
            return line.with_parameters(
                {
                    "PARTSTAT": None if default else given,
                    "RSVP": line.params.get("RSVP", answer.params.get("RSVP")) if given == NEEDS_ACTION else None,
                    "DELEGATED-TO": named or None,
                }
            )

        if attendee_line(target, self._user, self._directory) is None:
            delegator = self._delegator(component)
            if delegator is None:
                # Invited to other instances: somebody who is not invited to this one.
                return target
            target = self._with_delegate(target, answer.value, delegator)
        target = map_attendee(target, self._user, self._directory, answered)
        return target if failed else self._with_named_delegates(target, answer)

    def _with_named_delegates(self, target: SchedulingComponent, answer: Line) -> SchedulingComponent:
        """A component with those to whom the sender delegates, who are invited by it."""
        for address in answer.params.get("DELEGATED-TO", ()) if partstat(answer) == DELEGATED else ():
            key = self._directory.key(address)
            if key not in attendees(target, self._directory):
                target = self._with_delegate(target, address, self._user)
                user = self._directory.user(address)
                if user.is_here or not self._user.is_here:
                    self._invited[key] = user
                self._asked.append(Reset(target.instance, target.sequence, frozenset((key,))))
        return target

    def _with_delegate(self, target: SchedulingComponent, address: str, delegator: CalendarUser) -> SchedulingComponent:
        """A component that invites a delegate, too, and says from whom they have the invitation."""
        source = attendee_line(target, delegator, self._directory)
        user = self._directory.user(address)
        params: dict[str, list[str]] = {}
        if user.cn:
            params["CN"] = [user.cn]
        role = None if source is None else source.params.get("ROLE")
        if role:
            params["ROLE"] = role
        params |= {
            "PARTSTAT": [NEEDS_ACTION],
            "RSVP": ["TRUE"],
            "DELEGATED-FROM": [source.value if source is not None else delegator.address],
        }
        if user.is_here and delegator.is_here:
            params["SCHEDULE-STATUS"] = [PENDING]
        written = address if address.lower().startswith("mailto:") else user.address
        return target.with_lines("ATTENDEE", [*target.all("ATTENDEE"), made("ATTENDEE", written, params)])

    def _commented(self, target: SchedulingComponent, component: SchedulingComponent) -> SchedulingComponent:
        """A component with the private comment of the attendee (caldav-privatecomments §3.2)."""
        sent = component.first(PRIVATE_COMMENT)
        lines = target.all(ATTENDEE_COMMENT)
        own = next(
            (line for line in lines if self._directory.key(line.parameter(_COMMENT_OF) or "") == self._user.key), None
        )
        if sent is None and own is None:
            return target
        value = "" if sent is None else sent.value
        if own is not None and own.value == value:
            return target
        reference = attendee_line(target, self._user, self._directory)
        if reference is None:
            return target
        line = made(ATTENDEE_COMMENT, value, {_COMMENT_OF: [reference.value.strip()], _COMMENTED: [self._dtstamp]})
        kept = [each for each in lines if each is not own]
        return target.with_lines(ATTENDEE_COMMENT, [*kept, line])


def _participation(line: Line) -> tuple[str, list[str], list[str]]:
    return partstat(line), line.params.get("DELEGATED-TO", []), line.params.get("DELEGATED-FROM", [])


def _same_answer(
    one: SchedulingComponent, other: SchedulingComponent, user: CalendarUser, directory: Directory
) -> bool:
    """Whether the answer of an attendee and all comments are the same in two components."""
    before, after = attendee_line(one, user, directory), attendee_line(other, user, directory)
    if before is None or after is None or one.all(ATTENDEE_COMMENT) != other.all(ATTENDEE_COMMENT):
        return before is after and one.all(ATTENDEE_COMMENT) == other.all(ATTENDEE_COMMENT)
    return _participation(before) == _participation(after)
