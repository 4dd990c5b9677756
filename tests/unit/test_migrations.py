"""Migrations that databases have applied already."""

from hashlib import sha256
from pathlib import Path

from storage_plugins.postgres.migrations import FOLDER

CHECKSUMS = Path(__file__).with_name("migrations.sha256")
"""As `sha256sum *.sql` writes it; a new migration gets a line."""


def test_migrations_stay_as_databases_have_applied_them() -> None:
    """A server refuses a database that another file of the same number made, if only a comment differs."""
    recorded = dict(reversed(line.split()) for line in CHECKSUMS.read_text().splitlines())
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.sql")} == recorded
