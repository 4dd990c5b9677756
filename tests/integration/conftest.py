"""Fixtures of the integration tests."""

from tests.fixtures.postgres import (
    cluster,
    database,
    empty_database,
    migrated_template,
    postgres_binaries,
    settings_of_a_database,
    short_folder,
)

__all__ = [
    "cluster",
    "database",
    "empty_database",
    "migrated_template",
    "postgres_binaries",
    "settings_of_a_database",
    "short_folder",
]
