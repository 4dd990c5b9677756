"""Heads of the journal's chain in a second place: a line for each seal, in a file or in the system's log.

Who can write to the database alone cannot change them, so that a chain that was cut or made anew contradicts them.
"""

from __future__ import annotations

import json
import os
import syslog
from datetime import datetime
from pathlib import Path

from server.domain.errors import ConfigurationError

SYSLOG = "syslog"


def line(number: int, last_seq: int, digest: bytes, key_id: str, signature: bytes, at: datetime) -> str:
    """A seal in one line of JSON."""
    said = {
        "seal": number,
        "last_seq": last_seq,
        "digest": digest.hex(),
        "key": key_id,
        "signature": signature.hex(),
        "at": at.isoformat(),
    }
    return json.dumps(said, separators=(",", ":"))


def write(place: str, lines: list[str]) -> None:
    """Add lines to the second place: the path of a file, or `syslog`. Raises `ConfigurationError`."""
    if place == SYSLOG:
        for each in lines:
            syslog.syslog(syslog.LOG_NOTICE | syslog.LOG_AUTHPRIV, f"koyomi journal {each}")
        return
    try:
        with Path(place).open("a+b") as file:
            if file.tell() and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                # The line before has no end: the disk was full, or the server was killed.
                file.write(b"\n")
            file.writelines(f"{each}\n".encode() for each in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"The heads of the journal cannot be written to {place}: {error}") from error


def read(path: Path) -> dict[int, str]:
    """The digests of seals by their numbers, from a file of heads or from lines of the system's log.

    Raises `ConfigurationError` if the file cannot be read, and if it holds two digests of one seal.
    """
    found: dict[int, str] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                begin = text.find('{"seal":')
                if begin < 0 or not text.rstrip().endswith("}"):
                    continue  # another line of the log, or one that could not be written to its end
                said = json.loads(text[begin:])
                if found.setdefault(said["seal"], said["digest"]) != said["digest"]:
                    raise ConfigurationError(f"{path} holds two heads of seal {said['seal']}.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"The heads in {path} cannot be read: {error}") from error
    return found
