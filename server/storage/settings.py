"""Settings of the storage: where the data lie, and how the database is used."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from server.settings.option import Part, option


class StorageSettings(Part):
    """Storage."""

    data: Path = option(
        Path("var"),
        "Folder of the embedded PostgreSQL and of everything else that Koyomi keeps. Relative paths start at the "
        "working directory.",
        allowed="a path",
    )
    database: SecretStr = option(
        SecretStr(""),
        "The PostgreSQL database to use instead of the embedded one (15 or newer). The URL may hold a password, and is "
        "never printed.",
        allowed="postgresql://[USER[:PASSWORD]@][HOST[:PORT]]/DATABASE, or empty for the embedded PostgreSQL",
    )
    postgres_bin: Path | None = option(
        None,
        "Folder with the programs (initdb, postgres) that the embedded PostgreSQL is run from, 15 or newer. If empty, "
        "those that come with Koyomi.",
        allowed="the path of a folder, or empty",
    )
    pool_size: int = option(
        10,
        "Connections to the database that each worker may hold for requests; it holds up to five beside them.",
        ge=2,
        le=500,
    )
    pool_timeout: float = option(
        5.0,
        "How long a request waits for a free connection before it is answered with 503.",
        unit="seconds",
        gt=0,
        le=600,
    )
    statement_timeout: float = option(
        10.0,
        "How long one statement may take before its request is answered with 503.",
        unit="seconds",
        gt=0,
        le=3600,
    )
    unsafe: bool = option(
        False,
        "Serve even on a database whose settings let it lose acknowledged writes or be damaged by a power failure "
        "(fsync, full_page_writes or synchronous_commit off).",
    )
    page_size: int = option(1000, "Rows that one statement reads of a long listing.", ge=10, le=10_000)

    @field_validator("database")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and urlsplit(url).scheme not in {"postgresql", "postgres"}:
            raise ValueError("not the URL of a PostgreSQL database")
        return value
