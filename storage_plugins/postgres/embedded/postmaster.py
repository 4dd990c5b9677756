"""Recognising the server process (postmaster) of a data directory by its pid, its start time and its data directory."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_START_TOLERANCE = 60.0
"""Seconds between the start of a process and the time that PostgreSQL notes for it, on a very busy machine."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """The contents of `postmaster.pid` (as PostgreSQL's miscadmin.h lays it out); it may be stale."""

    pid: int
    data_directory: str
    started: float
    """POSIX time at which the postmaster started."""
    port: int | None = None
    socket_folder: Path | None = None
    status: str = "starting"
    """`starting`, `ready`, `standby` or `stopping`."""


@dataclass(frozen=True, slots=True)
class Process:
    """Facts of the operating system about a living process."""

    pid: int
    uid: int
    started: float
    """POSIX time; wrong by as much as the clock was set since."""
    command: str
    """The command line, arguments joined by spaces."""
    folder: tuple[int, int] | None
    """Device and inode of its working directory; None if the system does not show it."""


def read_pid_file(data_directory: Path) -> PidFile | None:
    """Read `postmaster.pid`; None if there is none, or none that makes sense (it is written line by line)."""
    try:
        lines = (data_directory / "postmaster.pid").read_text(errors="replace").splitlines()
        pid, started = abs(int(lines[0])), float(lines[2])
    except (OSError, ValueError, IndexError):
        return None
    if not 0 < pid < 2**31:
        return None
    rest = dict(enumerate(lines))
    port = rest.get(3, "").strip()
    socket_folder = rest.get(4, "").strip()
    return PidFile(
        pid,
        lines[1].strip(),
        started,
        int(port) if port.isdecimal() else None,
        Path(socket_folder) if socket_folder else None,
        rest.get(7, "starting").strip(),
    )


def running_postmaster(data_directory: Path, uid: int, *, certain: bool = False) -> PidFile | None:
    """The pid file of the data directory if the process it names is alive and is this directory's postmaster.

    A pid file that outlived its postmaster is never believed: the process must run as `uid`, in this directory, and
    have started when the file says. `certain` tells that a server process of this directory is known to live (by the
    lock it holds), in which case the time is not compared: the clock may have been set meanwhile.
    """
    noted = read_pid_file(data_directory)
    process = process_facts(noted.pid) if noted else None
    if noted is None or process is None or process.uid != uid:
        return None
    if process.folder is not None:
        facts = data_directory.stat()
        in_place = process.folder == (facts.st_dev, facts.st_ino)
    else:
        in_place = str(data_directory) in process.command
    if not in_place or "postgres" not in process.command:
        return None
    return noted if certain or abs(process.started - noted.started) <= _START_TOLERANCE else None


def process_facts(pid: int) -> Process | None:
    """Facts about a process; None if it does not live or is a zombie."""
    return _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)


def _from_proc(pid: int) -> Process | None:
    folder = Path(f"/proc/{pid}")
    try:
        # The second field, the program's name, may hold spaces and parentheses.
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        status = (folder / "status").read_text(errors="replace")
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    uid = next(int(line.split()[2]) for line in status.splitlines() if line.startswith("Uid:"))
    try:
        place = os.stat(folder / "cwd")
        where = (place.st_dev, place.st_ino)
    except OSError:
        # Forbidden, as for root in a container that lacks CAP_SYS_PTRACE.
        where = None
    started = int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return Process(pid, uid, started, command, where)


def _from_ps(pid: int) -> Process | None:
    answer = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "uid=,stat=,lstart=,command=", "-p", str(pid)],
        capture_output=True, text=True, check=False, errors="replace", env={"LC_ALL": "C"},
    ).stdout.split(maxsplit=7)  # fmt: skip
    if len(answer) < 8 or answer[1].startswith("Z"):
        return None
    started = datetime.datetime.strptime(" ".join(answer[2:7]), "%a %b %d %H:%M:%S %Y").astimezone()
    return Process(pid, int(answer[0]), started.timestamp(), answer[7].strip(), None)
