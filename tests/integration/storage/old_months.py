"""Acts of long ago."""

from __future__ import annotations

import asyncpg


async def make_old(dsn: str) -> None:
    """Let all that there is have happened years ago, in a partition that ended then."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            for kind in ("act", "echo"):
                await connection.execute(f"alter table journal_{kind} detach partition journal_{kind}_first")
                await connection.execute("set local session_replication_role = replica")
                await connection.execute(f"update journal_{kind}_first set month = '2020-01-01'")
                await connection.execute(
                    f"alter table journal_{kind} attach partition journal_{kind}_first "
                    "for values from (minvalue) to ('2020-02-01')"
                )
    finally:
        await connection.close()
