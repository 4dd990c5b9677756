"""The table of errors: every domain error has its own row, and each column can be relied on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

import server.app  # so that every error of the server is defined
from server.dav.core import errors as dav
from server.domain import errors
from server.domain.errors import KoyomiError
from server.http.errors import MAX_REASON, TABLE, Refused, reason, translate
from server.http.problems import problem

assert server.app


def tree(cls: type[KoyomiError] = KoyomiError) -> Iterator[type[KoyomiError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from tree(child)


EVERY = sorted(set(tree()) - set(tree(Refused)), key=lambda cls: cls.__name__)
"""All but those of the protocols, which bring their status along."""


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
def test_every_error_has_a_row_of_its_own(cls: type[KoyomiError]) -> None:
    """What is inherited silently would be answered as if it were something else."""
    assert cls.__module__ == errors.__name__
    assert cls in TABLE


@pytest.mark.parametrize("cls", TABLE, ids=lambda cls: cls.__name__)
def test_a_row_is_well_formed(cls: type[KoyomiError]) -> None:
    row = TABLE[cls]
    assert 400 <= row.status < 600
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row.problem)
    assert re.fullmatch(r"([A-Z][a-z]+)+", row.label)
    assert row.dav_status != row.status
    for element in (row.precondition, row.card_precondition):
        assert element is None or re.fullmatch(r"\{[^}]+\}[a-z-]+", element)


def test_problem_types_and_labels_name_one_error_each() -> None:
    rows = list(TABLE.values())
    assert len({row.problem for row in rows}) == len(rows)
    assert len({row.label for row in rows}) == len(rows)


def test_one_error_in_all_columns() -> None:
    error = errors.UidConflict("a b.ics")
    assert translate(error).label == "UidConflict"
    assert dav.status_of(error) == 403
    assert ":no-uid-conflict><D:href>/c/a%20b.ics</D:href>" in (dav.body(error, collection_href="/c/") or "")
    assert dav.precondition_of(error, card=True) == "{urn:ietf:params:xml:ns:carddav}no-uid-conflict"
    answer = problem(error)
    assert (answer.status, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert json.loads(answer.body) == {
        "type": "/problems/uid-conflict",
        "title": error.default_message(),
        "status": 409,
        "detail": error.message,
    }


def test_what_a_protocol_refuses_is_said_by_its_status_alone() -> None:
    assert json.loads(problem(Refused(405, "Only GET can be done here.")).body) == {
        "type": "about:blank",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "Only GET can be done here.",
    }
    with_precondition = dav.Refused(403, "{DAV:}no-invert")
    assert translate(with_precondition).label == "Refused"
    assert dav.status_of(with_precondition) == 403
    assert "<D:no-invert/>" in (dav.body(with_precondition) or "")


def test_an_error_that_is_not_in_the_table_is_answered_like_the_nearest_above_it() -> None:
    class Unheard(errors.QuotaExceeded):
        """Not in the table."""

    try:
        assert translate(Unheard()) is TABLE[errors.QuotaExceeded]
    finally:
        del Unheard


def test_a_long_reason_is_shortened() -> None:
    assert reason(errors.BadRequest("x" * MAX_REASON)) == "x" * MAX_REASON
    assert reason(errors.BadRequest("x" * (MAX_REASON + 1))) == "x" * MAX_REASON + " …"
