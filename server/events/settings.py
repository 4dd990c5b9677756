"""Settings of the journal."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator

from server.events.seal_heads import SYSLOG
from server.events.seal_key import FILE
from server.settings.option import Part, option


class JournalSettings(Part):
    """Journal."""

    echo_days: int = option(
        90,
        "How long the journal keeps what follows from changes: refreshes and touches.",
        unit="days",
        ge=7,
        le=3650,
    )
    act_days: int = option(
        2557,
        "How long the database keeps what somebody did. Older months become sealed files in journal.folder.",
        unit="days",
        ge=30,
        le=36500,
    )
    text_days: int = option(
        180,
        "How long the addresses of clients are kept that belong to sign-ins and refusals in the journal.",
        unit="days",
        ge=1,
        le=36500,
    )
    folder: Path | None = option(
        None,
        "Folder for these files. If empty, the folder journal in storage.data.",
        allowed="the path of a folder, or empty",
    )
    key: Path | None = option(
        None,
        "File with the key (Ed25519, PEM) that signs the seals of the journal; it is made if it is missing. Servers on "
        "one database need the same key. If empty, journal-key.pem in storage.data.",
        allowed="the path of a file, or empty",
    )
    heads: str = option(
        "",
        "Second place for the seals of the journal, so that a chain that was cut or made anew is found: a file to "
        "which lines are added, or syslog.",
        allowed="an absolute path, syslog, or empty",
    )

    @field_validator("heads")
    @classmethod
    def _check_heads(cls, value: str) -> str:
        if value not in ("", SYSLOG) and not Path(value).is_absolute():
            raise ValueError("neither an absolute path nor syslog")
        return value

    def key_in(self, data: Path) -> Path:
        """The file of the key; `data` is the data folder."""
        return self.key or data / FILE

    def folder_in(self, data: Path) -> Path:
        """The folder for months that leave the database."""
        return self.folder or data / "journal"
