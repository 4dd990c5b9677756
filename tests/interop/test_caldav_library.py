"""The `caldav` library against a running server. What it does is in `clients/caldav_library.py`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import Account
from tests.interop.environments import CALDAV, environment

SCRIPT = Path(__file__).with_name("clients") / "caldav_library.py"
CHECKS = re.findall(r"^@check\ndef (\w+)", SCRIPT.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment(*CALDAV) / "python"


@pytest.mark.parametrize("check", CHECKS)
def test_caldav_library(python: Path, account: Account, check: str) -> None:
    words = [python, SCRIPT, account.url, account.name, account.password, check]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
