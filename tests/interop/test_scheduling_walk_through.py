"""The walk-through of docs/scheduling.md, as printed, on the demo organisation: each block shows what is below it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, running

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "scheduling.md"
FIRST = "URL=http://127.0.0.1:5232 CLARA=clara:PASSWORD BEN=ben:PASSWORD"
END = "-- end of the block --"


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, and the lines that they show; `…` stands for anything within a line."""

    commands: str
    shown: tuple[str, ...]


def steps() -> list[Step]:
    """The blocks of the walk-through, in their order."""
    (section,) = re.findall(r"^## A walk-through\n(.*?)^## ", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    found: list[Step] = []
    for language, text in blocks:
        if language == "sh":
            found.append(Step(text, ()))
        else:
            found[-1] = Step(found[-1].commands, tuple(text.splitlines()))
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, dict[str, str]]]:
    """The demo organisation, and the passwords that were printed."""
    folder = tmp_path_factory.mktemp("walk-through")
    server = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 2})
    printed = server.command("demo")
    passwords = {name: re.findall(rf"^  {name} +(\S+) ", printed, re.MULTILINE)[0] for name in ("clara", "ben")}
    with running(server):
        yield server, passwords


def test_the_walk_through_shows_what_it_says(demo: tuple[ServerProcess, dict[str, str]]) -> None:
    server, passwords = demo
    first, *rest = steps()
    assert first.commands.startswith(FIRST)
    assert all(step.shown for step in rest)
    given = f"URL={server.url} CLARA=clara:{passwords['clara']} BEN=ben:{passwords['ben']}"
    script = first.commands.replace(FIRST, given) + "".join(f"{step.commands}echo '{END}'\n" for step in rest)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=120)
    outputs = done.stdout.replace("\r", "").split(f"{END}\n")
    assert len(outputs) == len(rest) + 1, done.stderr
    for step, output in zip(rest, outputs, strict=False):
        lines = output.splitlines()
        assert len(lines) == len(step.shown), f"{step.commands}\nshows\n{output}\n{done.stderr}"
        for line, shown in zip(lines, step.shown, strict=True):
            pattern = ".*".join(map(re.escape, shown.split("…")))
            assert re.fullmatch(pattern, line), f"{line!r} is not {shown!r}: {step.commands}\nshows\n{output}"
