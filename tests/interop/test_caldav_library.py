"""The `caldav` library against a running server. What it does is in `clients/caldav_library*.py`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import Account
from tests.interop.environments import CALDAV, environment

SCRIPT = Path(__file__).with_name("clients") / "caldav_library.py"
MEETINGS = SCRIPT.with_name("caldav_library_scheduling.py")


def checks(script: Path) -> list[str]:
    """The names of the checks of a script."""
    return re.findall(r"^@check\ndef (\w+)", script.read_text(), re.MULTILINE)


def run(words: list[Path | str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(*CALDAV) / "python"


@pytest.mark.parametrize("check", checks(SCRIPT))
def test_caldav_library(python: Path, account: Account, check: str) -> None:
    run([python, SCRIPT, account.url, account.name, account.password, check])


@pytest.mark.parametrize("check", checks(MEETINGS))
def test_meetings(python: Path, three: list[Account], check: str) -> None:
    run([python, MEETINGS, check, three[0].url, three[0].password, *(each.name for each in three)])
