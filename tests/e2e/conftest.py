"""Fixtures of the end-to-end tests: real servers, with the durability that production has."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, running


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data, with a short path that every account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="koyomi-e2e-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def load_people(server: ServerProcess, names: Sequence[str], *, admin: str = "", mail: bool = False) -> None:
    """Make people whose passwords are their names, and an administrator. `mail`: with addresses at example.com."""
    entries: list[dict[str, object]] = [
        {"kind": "individual", "name": name, "password": name, "emails": [f"{name}@example.com"] if mail else []}
        for name in names
    ]
    if admin:
        entries.append({"kind": "individual", "name": admin, "password": admin, "roles": ["admin"]})
    document = server.data.with_suffix(".principals.json")
    document.write_text(json.dumps({"principals": entries}))
    server.command("principals", "load", str(document))


@contextmanager
def observed(server: ServerProcess) -> Iterator[ServerProcess]:
    """A running server; what it wrote last is printed when it wrote of an error, or when something fails."""
    try:
        with running(server):
            yield server
    finally:
        lines = server.log.read_text(errors="replace").splitlines()
        if sys.exc_info()[0] is not None or any('"level": "error"' in line or "Traceback" in line for line in lines):
            print(*lines[-60:], sep="\n")
