"""Fixtures of the end-to-end tests: real servers, with the durability that production has."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data, with a short path that every account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="koyomi-e2e-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def load_people(server: ServerProcess, names: Sequence[str], *, admin: str = "") -> None:
    """Make people whose passwords are their names, and an administrator."""
    entries: list[dict[str, object]] = [{"kind": "individual", "name": name, "password": name} for name in names]
    if admin:
        entries.append({"kind": "individual", "name": admin, "password": admin, "roles": ["admin"]})
    document = server.data.with_suffix(".principals.json")
    document.write_text(json.dumps({"principals": entries}))
    server.command("principals", "load", str(document))
