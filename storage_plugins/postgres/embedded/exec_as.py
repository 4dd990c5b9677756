"""Become another account, then run a program: `python exec_as.py JSON PROGRAM ARGUMENT…`.

Run as a script of its own and not between fork and exec of the server, since that process has threads. The JSON
object holds `uid`, `gid`, `groups` and `search` (whether to keep CAP_DAC_READ_SEARCH, so that the account may pass
folders that only root may enter; Linux only). With the program `?` nothing is run: the arguments are paths, and the
exit status is 0 if the account, with what it keeps, can search those that are folders, read the others, and run those
that are programs; otherwise 3.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys

CAP_DAC_READ_SEARCH = 2
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_UNREACHABLE = 3


def _keep_search_capability(libc: ctypes.CDLL) -> None:
    """Reduce the capabilities to CAP_DAC_READ_SEARCH, and let programs that are run have it (capabilities(7))."""
    bit = 1 << CAP_DAC_READ_SEARCH
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    # Effective, permitted and inheritable set, the low and the high 32 capabilities.
    sets = ctypes.create_string_buffer(struct.pack("=6I", bit, bit, bit, 0, 0, 0))
    if (
        libc.capset(header, sets) != 0
        or libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0) != 0
    ):
        raise OSError(ctypes.get_errno(), "CAP_DAC_READ_SEARCH cannot be kept")


def _become(uid: int, gid: int, groups: list[int], search: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if search and libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be kept")
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    if search:
        _keep_search_capability(libc)


def _usable(path: str) -> bool:
    try:
        if os.path.isdir(path):
            os.stat(os.path.join(path, "."))
        else:
            with open(path, "rb"):
                pass
        # access(2) by the effective ids, since by the real ones it would leave the capability out of account.
        program = os.path.isfile(path) and os.stat(path).st_mode & 0o111
        return not program or os.access(path, os.X_OK, effective_ids=True)
    except OSError:
        return False


def _main(who: str, program: str, *arguments: str) -> int:
    try:
        _become(**json.loads(who))
    except OSError as error:
        print(f"cannot become the account of PostgreSQL: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if program == "?":
        return 0 if all(_usable(path) for path in arguments) else _UNREACHABLE
    return os.execv(program, [program, *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
