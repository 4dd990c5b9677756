"""Walk-throughs of documents, performed as they are printed: each block of commands shows what is below it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
WALK_THROUGHS = ("scheduling.md", "delegation.md", "rooms.md")
"""The documents that have one."""
_END = "-- end of the block --"


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, and the lines that they show; `…` stands for anything within a line."""

    commands: str
    shown: tuple[str, ...]


def steps(document: str) -> list[Step]:
    """The blocks of the walk-through of a document, in their order."""
    text = f"{(DOCS / document).read_text()}\n## "
    (section,) = re.findall(r"^## A walk-through\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    found: list[Step] = []
    for language, block in blocks:
        if language == "sh":
            found.append(Step(block, ()))
        else:
            found[-1] = Step(found[-1].commands, tuple(block.splitlines()))
    return found


def perform(document: str, first_line: str, given: str) -> None:
    """Perform a walk-through, and compare what it shows.

    :param first_line: the line at its beginning that a reader adapts.
    :param given: what stands in its place here.
    """
    first, *rest = steps(document)
    assert first.commands.startswith(first_line)
    assert all(step.shown for step in rest)
    script = first.commands.replace(first_line, given) + "".join(f"{step.commands}echo '{_END}'\n" for step in rest)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=120)
    outputs = done.stdout.replace("\r", "").split(f"{_END}\n")
    assert len(outputs) == len(rest) + 1, done.stderr
    for step, output in zip(rest, outputs, strict=False):
        lines = output.splitlines()
        assert len(lines) == len(step.shown), f"{step.commands}\nshows\n{output}\n{done.stderr}"
        for line, shown in zip(lines, step.shown, strict=True):
            pattern = ".*".join(map(re.escape, shown.split("…")))
            assert re.fullmatch(pattern, line), f"{line!r} is not {shown!r}: {step.commands}\nshows\n{output}"
