"""The conversations of the folder `conversations`: every example of RFC 5546 §4 and of RFC 6638 Appendix B."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.itip.conversation import Conversation

FOLDER = Path(__file__).parent / "conversations"
FILES = sorted(FOLDER.glob("*/*.txt"))

SECTIONS = {
    "rfc5546-4.1-published-events": 5,
    "rfc5546-4.2-group-events": 12,
    "rfc5546-4.3-busy-time": 3,
    "rfc5546-4.4-recurring-events": 10,
    "rfc5546-4.5-group-tasks": 8,
    "rfc5546-4.6-journals": 1,
    "rfc5546-4.7-other": 2,
    "rfc6638-B": 8,
}
"""How many examples each section has."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_everybody_ends_in_the_expected_state(path: Path) -> None:
    assert Conversation(path).play() > 0


def test_every_example_is_there() -> None:
    counted = {folder.name: len(list(folder.glob("*.txt"))) for folder in FOLDER.iterdir() if folder.is_dir()}
    assert {name: counted.get(name) for name in SECTIONS} == SECTIONS
