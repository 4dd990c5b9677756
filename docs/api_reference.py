"""Writes the tables of operations and scopes in docs/api.md, from the rows of the API.

python -m docs.api_reference            writes them
python -m docs.api_reference --check    fails when they are not as they would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from admin_api.operations import BASE, Operation
from admin_api.table import OPERATIONS
from docs.written_part import document_with, kept
from server.domain.scopes import AREAS, SCOPES

REFERENCE = Path(__file__).resolve().parent / "api.md"
BEGIN, END = "<!-- operations: written by make docs -->\n", "<!-- end of operations -->\n"


def _row(row: Operation) -> str:
    takes = "" if row.request is None else f"`{row.request.__name__}`"
    gives = str(row.status) if row.response is None else f"`{row.response.__name__}`"
    return f"| `{row.id}` | `{row.method} {row.path}` | {row.access} | {takes} | {gives} | {row.summary} |\n"


def table() -> str:
    """The tables, in Markdown."""
    found = f"Paths begin with `{BASE}`. Scopes: {', '.join(f'`{scope}`' for scope in SCOPES)}.\n"
    for area in AREAS:
        found += f"\n### {area}\n\n| operation | request | needs | takes | answers | what it does |\n"
        found += "| --- | --- | --- | --- | --- | --- |\n"
        found += "".join(_row(row) for row in OPERATIONS if row.area == area)
    return found


def document() -> str:
    """docs/api.md with the tables."""
    return document_with(REFERENCE, BEGIN, END, table())


def main() -> int:
    """Write the file, or with --check compare it."""
    return kept(REFERENCE, document(), "operations")


if __name__ == "__main__":
    sys.exit(main())
