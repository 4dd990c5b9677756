"""The account that PostgreSQL runs as: that of Koyomi, or an unprivileged one if Koyomi runs as root.

PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from server.domain.errors import ConfigurationError
from storage_plugins.postgres.embedded import exec_as

_PREFERRED = ("koyomi", "nobody")
"""Accounts that PostgreSQL runs as for root; the first that exists."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that runs PostgreSQL, and how to start a program as that account."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    switch: bool = False
    """Whether programs must be started with another account (Koyomi runs as root)."""
    search: bool = False
    """Whether the account keeps CAP_DAC_READ_SEARCH, to pass folders that only root may enter."""

    def command(self, program: Path | str, *arguments: str) -> list[str]:
        """The command line that runs a program as this account."""
        if not self.switch:
            return [str(program), *arguments]
        who = {"uid": self.uid, "gid": self.gid, "groups": list(self.groups), "search": self.search}
        return [sys.executable, "-I", exec_as.__file__, json.dumps(who), str(program), *arguments]

    def reaches(self, paths: Iterable[Path]) -> bool:
        """Whether the account can read these paths, and run or search those that are programs or folders."""
        if not self.switch:
            return True
        command = self.command("?", *map(str, paths))
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0  # noqa: S603

    def with_search(self) -> Account:
        """The same account with CAP_DAC_READ_SEARCH, on systems that have it."""
        return replace(self, search=sys.platform == "linux")

    def without_search(self) -> Account:
        """The same account with no capability at all."""
        return replace(self, search=False)


def choose_account(folder: Path) -> Account:
    """The account for a cluster in `folder`, which exists.

    For an ordinary user it is their own account. For root it is the owner of the cluster, or else of the folder, so
    that root can use the data of an ordinary user without changing the owner. If root owns both, it is `koyomi` if that
    account exists, otherwise `nobody`. Raises `ConfigurationError` if there is none.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for path in (folder / "cluster", folder):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        if facts.st_uid != 0:
            return Account(facts.st_uid, facts.st_gid, _groups(facts.st_uid, facts.st_gid), switch=True)
    for name in _PREFERRED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, (entry.pw_gid,), switch=True)
    raise ConfigurationError("PostgreSQL does not run as root and needs an account; make one: useradd --system koyomi")


def _groups(uid: int, gid: int) -> tuple[int, ...]:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return (gid,)
    return tuple(sorted({gid, *(group.gr_gid for group in grp.getgrall() if name in group.gr_mem)}))


def account_name(uid: int) -> str:
    """The name of an account, which initdb and peer authentication need.

    Raises `ConfigurationError` for a uid without one.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise ConfigurationError(
            f"The user id {uid} has no account, and PostgreSQL needs one; make one: useradd --uid {uid} koyomi"
        ) from None
