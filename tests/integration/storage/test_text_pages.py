"""Pages of members that carry texts are cut by the sum of their sizes; nothing is lost or read twice."""

from __future__ import annotations

import pytest

from server.domain.limits import Limits
from server.domain.rows import MemberColumn
from server.services.objects import Objects
from server.services.text_pages import member_pages, members_by_id
from server.storage.reads import TEXT_PAGE
from tests.e2e.calendar_texts import event
from tests.found import collection_found, member_in
from tests.integration.storage.values import ACTOR

COLUMNS: tuple[MemberColumn, ...] = ("name", "id", "text")
SIZES = [100, TEXT_PAGE * 2 // 3, TEXT_PAGE * 2 // 3, 100, TEXT_PAGE + 1000, TEXT_PAGE + 1000, 100, 100]


@pytest.fixture
async def calendar(storage, person):
    calendar = await person.collection()
    objects = Objects(storage, Limits())
    for number, size in enumerate(SIZES):
        text = event(f"uid-{number}", padding=size).encode()
        await objects.put(ACTOR, member_in(calendar, f"{number}.ics"), text)
    return await person.collection()


def numbers(pages):
    return [[int(row[0].removesuffix(".ics")) for row in page] for page in pages]


async def test_a_page_ends_where_its_texts_fill_it(storage, calendar):
    pages = [page async for page in member_pages(storage, collection_found(calendar), COLUMNS, 100)]
    assert numbers(pages) == [[0, 1, 2], [3, 4], [5], [6, 7]]
    assert all(sum(len(row[2]) for row in page[:-1]) < TEXT_PAGE for page in pages)
    assert all(row[2].startswith("BEGIN:VCALENDAR") for page in pages for row in page)


async def test_rows_bound_a_page_too(storage, calendar):
    pages = [page async for page in member_pages(storage, collection_found(calendar), COLUMNS, 2)]
    assert numbers(pages) == [[0, 1], [2, 3], [4], [5], [6, 7]]
    assert numbers(
        [page async for page in member_pages(storage, collection_found(calendar), ("name", "size"), 100)]
    ) == [[*range(8)]]


async def test_members_by_id_are_all_found_in_bounded_pages(storage, calendar):
    ids = [
        row[1] async for page in member_pages(storage, collection_found(calendar), ("name", "id"), 100) for row in page
    ]
    pages = [page async for page in members_by_id(storage, collection_found(calendar), [*ids, 10**9], COLUMNS, 100)]
    assert numbers(pages) == [[0, 1, 2], [3, 4], [5], [6, 7]]


async def test_names_whose_text_is_left_out_are_told_from_names_that_do_not_exist(storage, calendar):
    asked = [(calendar, f"{number}.ics") for number in (4, 5, 9)]
    rows = await storage.members_named(asked, ("name", "text"))
    assert {key[1]: row[1] is None for key, row in rows.items()} == {"4.ics": False, "5.ics": True}
