"""The settings that the embedded PostgreSQL runs with, chosen for a calendar server on a small machine.

An administrator overrides them with ALTER SYSTEM or at the end of `cluster/postgresql.conf`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

ROLE = "koyomi"
"""The database role that Koyomi signs in as."""
PORT = 5432
"""The number in the name of the socket (`.s.PGSQL.5432`); nothing listens on TCP."""

SETTINGS_FILE = "koyomi.conf"
"""Name of the settings file; it lies beside the data directory, whose `postgresql.conf` includes it."""

_MIB = 2**20


def postgresql_conf(*, folder: Path, socket_folder: Path, durable: bool, memory: int) -> str:
    """The text of the settings file.

    `folder` holds `pg_hba.conf` and `pg_ident.conf`; `memory` is what the machine has, in bytes. Without `durable` an
    acknowledged commit can be lost and the cluster be damaged by a power failure: for clusters that tests throw away.
    """
    safe = "on" if durable else "off"
    settings: list[tuple[str, str, str]] = [
        ("listen_addresses", "", "Only the socket; nobody reaches it from outside the machine."),
        ("port", str(PORT), "Part of the socket's name."),
        ("unix_socket_directories", str(socket_folder), "A folder that only the account may enter."),
        ("unix_socket_permissions", "0700", "The account and root; peer authentication decides further."),
        ("hba_file", str(folder / "pg_hba.conf"), ""),
        ("ident_file", str(folder / "pg_ident.conf"), ""),
        ("max_connections", "200", "A worker holds up to fourteen; commands and several servers fit beside."),
        ("shared_buffers", _megabytes(memory // 8, 64, 512), "An eighth of the memory; the system caches the rest."),
        ("effective_cache_size", _megabytes(memory // 2, 128, None), "An assumption of the planner, not allocated."),
        ("work_mem", "8MB", "Pages of listings are sorted by index; larger sorts are rare."),
        ("maintenance_work_mem", _megabytes(memory // 32, 32, 256), "For vacuum and the building of indexes."),
        ("max_wal_size", "1GB", "Distance of checkpoints; bounds how long recovery takes."),
        ("wal_compression", "on", "Full-page images after a checkpoint cost more to write than to compress."),
        ("random_page_cost", "1.1", "Solid-state disks."),
        ("jit", "off", "Compiling costs more than any of the short queries."),
        ("max_parallel_workers_per_gather", "0", "Requests run side by side already; a query takes one core."),
        ("client_connection_check_interval", "10s", "A query whose worker died ends, however long it would run."),
        ("idle_in_transaction_session_timeout", "5min", "The last defence: an open transaction delays the outbox."),
        ("fsync", safe, "An acknowledged write survives a crash of the machine."),
        ("full_page_writes", safe, "As does the page that was half written when it crashed."),
        ("synchronous_commit", safe, "Acknowledged means on disk."),
        ("timezone", "UTC", ""),
        ("log_timezone", "UTC", ""),
        ("datestyle", "ISO, YMD", ""),
        ("log_checkpoints", "off", "Keeps the log small; it is turned over at start only."),
        ("log_min_messages", "log", "Errors of statements are answered to, and logged by, who sent them."),
        ("log_line_prefix", "%m [%p] ", ""),
        ("logging_collector", "off", "The launcher gives standard error a file."),
        ("update_process_title", "off", "Saves a system call or two per statement."),
    ]
    lines = [f"{name} = '{_quoted(value)}'" + (f"  # {why}" if why else "") for name, value, why in settings]
    return "# Written at every start.\n" + "\n".join(lines) + "\n"


def pg_hba_conf() -> str:
    """The rules of access: the accounts of `pg_ident.conf` connect by the socket, without passwords."""
    # A copy for a backup comes as replication.
    return "".join(f"local {database} {ROLE} peer map={ROLE}\n" for database in ("all", "replication"))


def pg_ident_conf(accounts: Sequence[str]) -> str:
    """The accounts of the system that may connect."""
    return "".join(f'{ROLE} "{account}" {ROLE}\n' for account in accounts)


def physical_memory() -> int:
    """Bytes of memory that this machine, or the container, has."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**30
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdecimal() else memory


def _megabytes(value: int, least: int, most: int | None) -> str:
    megabytes = max(value // _MIB, least)
    return f"{megabytes if most is None else min(megabytes, most)}MB"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
