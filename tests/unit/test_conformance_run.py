"""The list of conformance tests that must pass: what counts as lost, and how it is written."""

import json
from pathlib import Path

import pytest

from tests.conformance.run import LAST, lost, outcomes, record, selected, slowed

NOW = {
    "CalDAV/a.xml | S | 1": "passed",
    "CalDAV/a.xml | S | 2": "failed",
    "CalDAV/a.xml | S | 3": "blocked",
    "CalDAV/a.xml | S | 4": "excused",
    "CalDAV/a.xml | S | 5": "ignored",
}


@pytest.mark.parametrize(
    ("number", "ends"), [(1, None), (2, "failed"), (3, "blocked"), (4, None), (5, "ignored"), (6, "missing")]
)
def test_a_listed_test_is_lost_when_it_no_longer_passes(tmp_path: Path, number: int, ends: str | None) -> None:
    key = f"CalDAV/a.xml | S | {number}"
    (tmp_path / "passed.txt").write_text(f"# what passes\n\n{key}\nCalDAV/b.xml | S | 1\n")
    assert lost(tmp_path / "passed.txt", NOW) == ([f"{key}: {ends}"] if ends else [])


def test_recording_takes_what_passes_and_keeps_files_that_did_not_run(tmp_path: Path) -> None:
    file = tmp_path / "passed.txt"
    file.write_text("CalDAV/a.xml | S | 2\nCalDAV/b.xml | S | 1\n")
    record(file, NOW)
    assert file.read_text().splitlines()[1:] == ["CalDAV/a.xml | S | 1", "CalDAV/b.xml | S | 1"]
    assert file.read_text().startswith("#")
    assert lost(file, NOW) == []


def test_outcomes_are_read_by_key(tmp_path: Path) -> None:
    tests = [{"key": key, "outcome": outcome} for key, outcome in NOW.items()]
    (tmp_path / "results.json").write_text(json.dumps({"files": [{"tests": tests[:2]}, {"tests": tests[2:]}]}))
    assert outcomes(tmp_path / "results.json") == NOW


def test_a_list_of_files_runs_in_its_order_but_for_those_that_disturb_others(tmp_path: Path) -> None:
    (tmp_path / "files").write_text(f"# comment\n{LAST[0]}\nCalDAV/b.xml # why\n\nCalDAV/a.xml\n")
    assert selected(tmp_path / "files") == ["CalDAV/b.xml", "CalDAV/a.xml", LAST[0]]


def test_slowed_files_wait_before_what_changes_members(tmp_path: Path) -> None:
    tests = "".join(f"<test><request><method>{each}</method></request></test>" for each in ("PUT", "GET"))
    (tmp_path / "a.xml").write_text(f"<caldavtest><test-suite>{tests}</test-suite></caldavtest>")
    made = (slowed(tmp_path, ["a.xml"], tmp_path / "slowed") / "a.xml").read_text()
    delay = "<request><method>DELAY</method><ruri>1</ruri></request>"
    assert (
        made
        == f"<caldavtest><test-suite>{tests.replace('<request>', f'{delay}<request>', 1)}</test-suite></caldavtest>"
    )
