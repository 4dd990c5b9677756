"""In CI nothing that the tests need may be missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest
def test_passes(): pass
def test_skips(): pytest.skip("no database")
@pytest.mark.skipif(True, reason="no database")
def test_skips_by_mark(): pass
@pytest.fixture
def database(): pytest.skip("no database")
def test_skips_in_a_fixture(database): pass
@pytest.mark.platform
@pytest.mark.skipif(True, reason="another system")
def test_of_another_platform(): pass
@pytest.mark.xfail
def test_fails_as_expected(): assert False
"""


@pytest.mark.parametrize(
    ("in_ci", "summary"),
    [("0", "1 passed, 5 skipped, 1 xfailed"), ("1", "1 failed, 1 passed, 1 skipped, 1 xfailed, 3 errors")],
)
def test_a_skip_is_a_failure_in_ci(tmp_path: Path, in_ci: str, summary: str) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = platform\n")
    (tmp_path / "test_a.py").write_text(TESTS)
    (tmp_path / "test_b.py").write_text("import pytest\npytest.importorskip('a_module_that_is_not_there')\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        str(tmp_path),
    ]
    done = subprocess.run(command, env={"KOYOMI_CI": in_ci}, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert summary in done.stdout.splitlines()[-1], done.stdout
    assert done.returncode == (0 if in_ci == "0" else 1)
