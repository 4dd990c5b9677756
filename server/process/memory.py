"""What a worker does with free memory: it keeps some for the next answer, and gives back what a large one left.

By itself the C library gives back what a listing took and fetches it anew, page by page, for the next: a third of the
time that a listing of a thousand members took (measured). Told to keep it, it keeps what thousands of odd requests left
between what is in use, too, until somebody asks for it. Only where it is glibc (Linux) is anything done.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys

from server.observe.background import run_forever

KEPT = 32 << 20
"""Bytes of free memory that are not given back at once."""
LARGE_BLOCK = 4 << 20
"""Bytes from which a block is fetched from the system by itself."""
PAUSE = 60.0
"""Seconds between the times at which all that is free is given back."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def _library() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


def keep() -> None:
    """Have the C library keep free memory for the next answer."""
    library = _library()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT)


async def give_back() -> None:
    """Give free memory back to the system, again and again until cancelled."""
    library = _library()
    if library is None:
        return
    trim = library.malloc_trim

    async def step() -> None:
        await asyncio.sleep(PAUSE)
        # In a thread: looking through all that is free takes some milliseconds.
        await asyncio.to_thread(trim, ctypes.c_size_t(KEPT))

    await run_forever("memory", step)
