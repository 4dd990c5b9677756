"""Making a new cluster with Koyomi's empty database, completely or not at all."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from server.domain.errors import ConfigurationError, DatabaseError
from storage_plugins.postgres.embedded.account import Account, account_name
from storage_plugins.postgres.embedded.binaries import Binaries
from storage_plugins.postgres.embedded.cluster_settings import ROLE, SETTINGS_FILE

DATABASE = "koyomi"
"""The database that every cluster has from the beginning."""

_SHELL = "/bin/sh"


def make_cluster(cluster: Path, account: Account, binaries: Binaries, *, durable: bool) -> None:
    """Make the data directory `cluster`, owned by `account`, with the role and the database `koyomi`.

    It is made in another folder and then renamed, so that an interruption leaves no incomplete data directory. Its
    settings are read from `koyomi.conf` in the folder above. Raises `ConfigurationError` and `DatabaseError`.
    """
    account_name(account.uid)
    if cluster.is_dir() and any(cluster.iterdir()):
        raise ConfigurationError(f"{cluster} is no data directory of PostgreSQL, and not empty; move it away")
    unfinished = cluster.with_name(cluster.name + ".new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, account.uid, account.gid)
    place = ["-D", str(unfinished)]
    arguments = [*place, "-U", ROLE, "--auth-local=peer", "--auth-host=reject", "--data-checksums"]
    arguments += ["--text-search-config=simple", *_locale_arguments(binaries.major)]
    _run(account.command(binaries.initdb, *arguments, *([] if durable else ["--no-sync"])), cluster)
    single = ["--single", *place, "-c", f"fsync={'on' if durable else 'off'}", "-c", "log_checkpoints=off", "postgres"]
    _run(account.command(binaries.postgres, *single), cluster, f"CREATE DATABASE {DATABASE}\n")
    # With that account, because root must not write into folders of others.
    script = f'echo "include \'../{SETTINGS_FILE}\'" >> "$0/postgresql.conf"'
    _run(account.command(_SHELL, "-c", script, str(unfinished)), cluster)
    unfinished.rename(cluster)
    handle = os.open(cluster.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs, without the caller's variables that would affect them."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **kept}


def _locale_arguments(major: int) -> list[str]:
    """Options that make initdb sort Unicode by code points, the same on every system and without ICU."""
    if platform.system() == "Darwin":
        # It knows no C.UTF-8; its UTF-8 locales have the letters, which full-text search needs, in common.
        locale = ["--locale=C", "--lc-ctype=en_US.UTF-8"]
    else:
        locale = ["--locale=C", "--lc-collate=C.UTF-8", "--lc-ctype=C.UTF-8"]
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    return ["--encoding=UTF8", *locale, *builtin]


def _run(command: list[str], cluster: Path, text: str = "") -> None:
    done = subprocess.run(  # noqa: S603
        command,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=cluster.parent,
        env=environment(),
        start_new_session=True,
        umask=0o077,
    )
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    wrong = [line for line in lines if "error:" in line or "FATAL:" in line or "ERROR:" in line]
    # In single-user mode a failed statement does not change the exit status.
    if done.returncode != 0 or wrong:
        reason = (wrong or lines[-1:] or [f"exit status {done.returncode}"])[0]
        raise DatabaseError(f"PostgreSQL cannot be set up in {cluster.parent}: {reason}")
