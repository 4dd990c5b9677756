"""Mails as files of a folder, for installations without a mail server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from server.domain.errors import MailDelayed
from server.services.mail.transport import Mail


class FolderTransport:
    """Writes each mail into `NAME.eml`. Nothing is sent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, mail: Mail) -> None:
        """See `Transport`. A mail that is there already is replaced."""
        await asyncio.to_thread(self._write, mail)

    def _write(self, mail: Mail) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            begun = self._folder / f".{mail.name}.part"
            begun.write_bytes(mail.message)
            begun.replace(self._folder / f"{mail.name}.eml")
        except OSError as error:
            raise MailDelayed(f"{self._folder}: {error.strerror}") from error
