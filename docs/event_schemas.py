"""Writes the JSON Schema of each kind of messages into docs/events/.

python -m docs.event_schemas            writes them
python -m docs.event_schemas --check    fails when one is not as it would be written
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from server.domain.messages import KINDS, schema

FOLDER = Path(__file__).resolve().parent / "events"


def documents() -> dict[Path, str]:
    """Each file with the text that it should have."""
    return {FOLDER / f"{kind}.json": json.dumps(schema(kind), indent=2) + "\n" for kind in KINDS}


def main() -> int:
    """Write the files, or with --check compare them."""
    wanted = documents()
    stale = {path: text for path, text in wanted.items() if not path.exists() or path.read_text() != text}
    extra = set(FOLDER.glob("*.json")) - set(wanted)
    if "--check" in sys.argv:
        for path in sorted({*stale, *extra}):
            print(f"docs/events/{path.name} is not what the kinds of messages say; run make docs")
        return 1 if stale or extra else 0
    FOLDER.mkdir(exist_ok=True)
    for path, text in stale.items():
        path.write_text(text)
    for path in extra:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
