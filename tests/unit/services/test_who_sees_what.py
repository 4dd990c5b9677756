"""The table "Who sees what" of docs/scheduling.md says what happens."""

from __future__ import annotations

from tests.unit.services.who_sees_what import ACTS, DOCUMENT, HEAD, table, written


async def test_the_document_says_what_people_have_after_each_act() -> None:
    document = DOCUMENT.read_text()
    assert HEAD in document
    new = await table()
    assert len(new.splitlines()) == len(ACTS) + 2
    assert document == written(document, new), "python -m tests.unit.services.who_sees_what writes it anew"
