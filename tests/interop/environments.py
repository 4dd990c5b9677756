"""Environments of their own for clients and other servers: what they need would stand in the way of what Koyomi needs.

Each lies under `build/interop/` and is made once for the same requirements.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "build" / "interop"

CALDAV = ("caldav==3.6.0",)
VDIRSYNCER = ("vdirsyncer==0.21.0", "khal==0.14.1")
TESTER = ("caldav-server-tester==1.7.0", "caldav==3.6.0", "vobject", "pytz")
RADICALE = ("radicale==3.9.0",)


def environment(*requirements: str) -> Path:
    """The folder of the programs of an environment with these distributions. Skips the test when they cannot be had."""
    key = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()[:12]
    folder = FOLDER / f"{requirements[0].partition('=')[0]}-{key}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several runs of the tests may want it at once
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            done = subprocess.run([*pip, *requirements], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{', '.join(requirements)} cannot be installed: {done.stderr.strip()[-500:]}")
            (folder / "complete").touch()
    return folder / "bin"
