from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.event_schemas import FOLDER, documents
from server.domain.messages import KINDS, Message, decode, encode, schema
from tests.fixtures.messages import SOURCE, check, validator

IDS = st.integers(1, 2**63 - 1)
TRACES = st.from_regex("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True)
CREATED = Message(
    seq=7,
    act=True,
    month=date(2026, 11, 1),
    at=datetime(2026, 11, 30, 12, 0, 0, 123, UTC),
    kind="created",
    home_id=3,
    revision=12,
    collection_id=4,
    object_id=5,
    subject_id=None,
    principal_id=6,
    acting_for=None,
    origin="dav",
    request_id="0123456789ab",
    change=70,
    trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(sorted(KINDS)))
    wanted = KINDS[kind].fields

    def id_of(field: str) -> int | None:
        return draw(IDS if field in wanted else st.none() | IDS)

    home = id_of("home") or 0
    return Message(
        seq=draw(IDS),
        act=draw(st.booleans()),
        month=draw(st.dates(date(2020, 1, 1), date(2200, 1, 1))).replace(day=1),
        at=draw(st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))),
        kind=kind,
        home_id=home,
        revision=draw(IDS) if home else 0,
        collection_id=id_of("collection"),
        object_id=id_of("object"),
        subject_id=id_of("subject"),
        principal_id=draw(st.none() | IDS),
        acting_for=draw(st.none() | IDS),
        origin=draw(st.sampled_from(("dav", "cli", "jobs", "refresh"))),
        request_id=draw(st.sampled_from(("", "0123456789ab"))),
        change=draw(st.none() | IDS),
        trace=draw(st.none() | TRACES),
    )


@given(messages())
def test_a_message_of_any_kind_fits_its_schema_and_comes_back_as_it_was(message: Message) -> None:
    check(message)


def test_a_message_is_a_cloud_event_with_ids_only() -> None:
    assert json.loads(encode(CREATED, SOURCE)) == {
        "specversion": "1.0",
        "id": "7",
        "source": SOURCE,
        "type": "koyomi.created",
        "time": "2026-11-30T12:00:00.000123Z",
        "subject": "homes/3",
        "datacontenttype": "application/json",
        "traceparent": CREATED.trace,
        "data": {
            "seq": 7,
            "act": True,
            "month": "2026-11",
            "home": 3,
            "revision": 12,
            "collection": 4,
            "object": 5,
            "principal": 6,
            "origin": "dav",
            "request": "0123456789ab",
            "change": 70,
        },
    }


def test_the_schema_refuses_a_message_without_the_ids_of_its_kind() -> None:
    event = json.loads(encode(replace(CREATED, object_id=None), SOURCE))
    assert [error.message for error in validator("created").iter_errors(event)] == ["'object' is a required property"]


def test_what_is_no_trace_context_is_left_out() -> None:
    assert "traceparent" not in json.loads(encode(replace(CREATED, trace="00-0-0-0"), SOURCE))


def test_readers_ignore_fields_of_later_versions() -> None:
    event = json.loads(encode(CREATED, SOURCE))
    event["later"] = event["data"]["later"] = {"more": [1]}
    validator("created").validate(event)
    assert decode(json.dumps(event).encode()) == CREATED


def test_the_kind_of_a_later_version_is_read() -> None:
    later = replace(CREATED, kind="of-a-later-version")
    assert decode(encode(later, SOURCE)) == later


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(json.loads(encode(CREATED, SOURCE)))), JSON, st.booleans())
def test_what_is_no_message_is_refused(field: str, value: object, missing: bool) -> None:
    event = json.loads(encode(CREATED, SOURCE))
    event[field] = value
    if missing:
        del event[field]
    try:
        decode(json.dumps(event).encode())
    except ValueError:
        return
    # What is read all the same differs in fields that may be missing, or are not looked at.
    assert missing or field not in ("data", "specversion") or value == json.loads(encode(CREATED, SOURCE))[field]


@given(st.sampled_from(["seq", "month", "home", "object", "principal"]), JSON)
def test_ids_that_are_none_are_refused(field: str, value: object) -> None:
    event = json.loads(encode(CREATED, SOURCE))
    event["data"][field] = value
    text = json.dumps(event).encode()
    if field == "month" or not (value is None or type(value) is int) or (field == "seq" and value is None):
        with pytest.raises(ValueError):
            decode(text)


@given(st.binary(max_size=50))
def test_octets_that_are_no_message_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_the_example_in_the_documents_is_a_message() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", (FOLDER.parent / "events.md").read_text(), re.DOTALL)
    validator("updated").validate(json.loads(text))
    check(decode(text.encode()))


def test_each_kind_has_a_schema_in_the_documents() -> None:
    assert all(path.read_text() == text for path, text in documents().items())
    assert {path.stem for path in documents()} == set(KINDS)
    for kind in KINDS:
        validator(kind).check_schema(schema(kind))
