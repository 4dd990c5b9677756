"""Writes the table of the parameters of booking policies in docs/rooms.md, from where they are defined.

python -m docs.policy_reference            writes it
python -m docs.policy_reference --check    fails when it is not as it would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.written_part import document_with, kept
from server.booking.policy import RULES, Rule

REFERENCE = Path(__file__).resolve().parent / "rooms.md"
BEGIN, END = "<!-- parameters: written by make docs -->\n", "<!-- end of parameters -->\n"


def _row(rule: Rule) -> str:
    cells = (
        f"`{rule.name}`",
        f"{rule.text} {rule.kind.words[0].upper()}{rule.kind.words[1:]}.",
        f"`{json.dumps(rule.default)}`",
        rule.exchange or "none",
        rule.google or "none",
    )
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    """The table, in Markdown."""
    head = "| parameter | what it does, and what it takes | default | Exchange | Google |\n"
    return f"{head}| --- | --- | --- | --- | --- |\n{''.join(map(_row, RULES.values()))}"


def document() -> str:
    """docs/rooms.md with the table."""
    return document_with(REFERENCE, BEGIN, END, table())


def main() -> int:
    """Write the file, or with --check compare it."""
    return kept(REFERENCE, document(), "parameters")


if __name__ == "__main__":
    sys.exit(main())
