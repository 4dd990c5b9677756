"""`koyomi access explain`."""

from __future__ import annotations

from pathlib import Path

from tests.integration.test_meetings_command import koyomi, lines_of
from tests.unit.services.world import event

HOME = "/calendars/users/ann"
PRIVATE = f"{HOME}/calendar/secret.ics"


async def test_it_says_what_somebody_may_do_and_why(database: str, tmp_path: Path) -> None:
    for name in ("ann", "bea", "cleo", "dora"):
        await lines_of(database, "user", "add", name, "--email", f"{name}@example.com", "--no-password")
    await lines_of(database, "user", "add", "root", "--no-password", "--admin")
    for uid, lines in (("secret", ("SUMMARY:canary", "CLASS:PRIVATE")), ("plan", ("SUMMARY:canary",))):
        path = tmp_path / f"{uid}.ics"
        path.write_text(event(uid, *lines))
        await lines_of(database, "import", str(path), "--user", "ann", "--collection", "calendar")
    await lines_of(database, "share", "ann/calendar", "--with", "bea", "--rights", "write")
    await lines_of(database, "share", "ann/calendar", "--with", "cleo", "--rights", "free-busy")

    async def explained(name: str, path: str) -> str:
        found = await lines_of(database, "access", "explain", name, path)
        assert not any("canary" in line for line in found)
        return " ".join(found)

    mine = await explained("ann", PRIVATE)
    assert "which is their own" in mine
    assert "It is private: ann sees the whole, and others see a block." in mine
    hers = await explained("bea", PRIVATE)
    assert "It is shared with them for write." in hers
    assert "bea has read." in hers
    assert "bea sees a block, and may not write it." in hers
    plan = await explained("bea", f"{HOME}/calendar/plan.ics")
    assert "bea has read, write." in plan
    assert "It is not private." in plan
    busy = await explained("cleo", f"{HOME}/calendar/")
    assert "It is shared with them for free-busy. cleo has read-free-busy." in busy
    assert await explained("dora", PRIVATE) == await explained("dora", f"{HOME}/calendar/nothing.ics")
    assert "nor ask for busy times" in await explained("dora", PRIVATE)
    admin = await explained("root", PRIVATE)
    assert "root is an administrator" in admin
    assert "root sees a block" in admin
    assert "root sees a part" in await explained("root", f"{HOME}/calendar/")
    assert "Nothing has this name." in await explained("root", f"{HOME}/none/")
    assert "Everybody who is signed in reads principals" in await explained("dora", "/principals/users/ann/")
    for path in ("nowhere", "/nothing/users/ann/"):
        assert (await koyomi(database, "access", "explain", "ann", path)).exit_code == 1
    assert (await koyomi(database, "access", "explain", "nobody", PRIVATE)).exit_code == 1
