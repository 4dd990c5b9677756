"""Very many mutated requests against a real server.

    python -m tests.e2e.hostile.many_requests 1000000 --seed 1

Each example of hypothesis is a batch: it chooses templates, families of mutations, how many there are in one request,
and the seed from which the requests of the batch are made, since drawing every choice of every request would cost more
than answering them. Ends after the batch on Ctrl-C or SIGTERM, with what was found until then.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvloop
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.e2e.conftest import load_people
from tests.e2e.hostile.corpus import TEMPLATES
from tests.e2e.hostile.mutation import FAMILY_NAMES, Recipe, recipe
from tests.e2e.hostile.sending import shortened
from tests.e2e.hostile.siege import ATTACKERS, VICTIM, WANTED_LAG, Siege
from tests.server_process import ServerProcess, free_port, running

BATCH = 400
WARM_UP = 3000
"""Requests before memory is measured: what is cached and pooled is there by then."""
MORE_MEMORY = 96 * 2**20
"""Bytes by which a worker may have grown at the end: what the allocator keeps, not what grows with the requests."""
HARD_LAG = 2.5
"""Seconds; a busy machine may delay a loop for longer than is wanted, but not for as long as that."""
_PROGRESS = 30.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What hypothesis draws."""

    seed: int
    templates: tuple[int, ...]
    families: frozenset[str]
    most: int
    """Mutations of one request."""

    def recipes(self, number: int) -> list[Recipe]:
        chance = Random(self.seed)
        return [recipe(chance, self.templates, self.families, self.most) for _ in range(number)]


EVERY_TEMPLATE = tuple(range(len(TEMPLATES)))
batches = st.builds(
    Batch,
    seed=st.integers(0, 2**63 - 1),
    templates=st.just(EVERY_TEMPLATE)
    | st.lists(st.sampled_from(EVERY_TEMPLATE), min_size=1, max_size=12, unique=True).map(tuple),
    families=st.just(frozenset(FAMILY_NAMES)) | st.frozensets(st.sampled_from(FAMILY_NAMES), min_size=1),
    most=st.integers(1, 5),
)


def server_for(folder: Path, log: Path) -> ServerProcess:
    """A server with two workers, attackers and a victim, which is not started yet."""
    options = {"network.workers": 2, "monitoring.port": free_port(), "log.level": "info"}
    server = ServerProcess(folder, log, options)
    load_people(server, [*ATTACKERS, VICTIM])
    return server


def besiege(siege: Siege, runner: asyncio.Runner, total: int, chosen: int, told: Callable[[str], object]) -> None:
    """Send `total` requests in batches that hypothesis draws."""
    began = spoken = time.monotonic()

    @seed(chosen)
    @settings(
        max_examples=-(-total // BATCH),
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(batch=batches)
    def attack(batch: Batch) -> None:
        nonlocal spoken
        if siege.stopping or siege.tally.sent >= total:
            return
        runner.run(siege.attack(batch.recipes(min(BATCH, total - siege.tally.sent))))
        if time.monotonic() - spoken > _PROGRESS:
            spoken = time.monotonic()
            rate = siege.tally.sent / (spoken - began)
            told(
                f"{siege.tally.sent} sent, {rate:.0f}/s, {len(siege.tally.failures)} failures, memory "
                f"{[value >> 20 for value in siege.memory().values()]} MiB, slowest "
                f"probe {siege.worst_probe * 1000:.0f} ms"
            )

    while siege.tally.sent < total and not siege.stopping:
        attack()


def findings(siege: Siege, runner: asyncio.Runner) -> list[str]:
    """What is wrong after the attack: failures (shortened), damage of the victim's data, memory, lag, derived data."""
    found = []
    places = {each.name: each for each in siege.people}
    told: set[str] = set()
    for failed, whose, wrong in siege.tally.failures:
        kind = wrong[:60]
        if kind in told or len(told) > 20:
            continue
        told.add(kind)
        again = runner.run(shortened(failed, siege.server.port, places[whose]))
        shown, wrong = again if again is not None else (failed, wrong + " (not again)")
        found.append(f"{wrong}\n  {shown}\n  {siege.reproduction(shown, whose)}")
    if len(siege.tally.failures) > len(told):
        found.append(f"{len(siege.tally.failures)} failures in all")
    damaged = runner.run(siege.victims_differences())
    found += [f"The victim's data differ: {each}" for each in damaged]
    for pid, size in siege.memory().items():
        before = siege.memory_before.get(pid)
        if before is None:
            found.append("A worker died and was replaced.")
        elif size > before + MORE_MEMORY:
            found.append(f"The memory of a worker grew from {before >> 20} to {size >> 20} MiB.")
    if runner.run(siege.lags()).get(HARD_LAG, 0):
        found.append(f"An event loop was blocked for more than {HARD_LAG:g} s.")
    try:
        siege.server.command("db", "check", "--all")
    except RuntimeError as error:
        found.append(str(error)[:2000])
    log = siege.server.log.read_text(errors="replace")
    loud = [
        line
        for line in log.splitlines()
        if '"level": "error"' in line or "Traceback" in line or '"level": "critical"' in line
    ]
    found += [f"{len(loud)} errors in the log, first: {loud[0][:2000]}"] if loud else []
    return found


def summary(siege: Siege, runner: asyncio.Runner, seconds: float) -> str:
    tally = siege.tally
    lags = ", ".join(
        f"{number} above {bound * 1000:g} ms" for bound, number in runner.run(siege.lags()).items() if number
    )
    lines = [
        f"{tally.sent} requests in {seconds:.0f} s ({tally.sent / seconds:.0f}/s), "
        f"{tally.bytes_sent >> 20} MiB of bodies",
        "statuses: " + ", ".join(f"{status}: {number}" for status, number in sorted(tally.statuses.items())),
        f"{tally.unanswered} incomplete ones without an answer",
        f"memory of the workers: {[value >> 20 for value in siege.memory_before.values()]} MiB before, "
        f"{[value >> 20 for value in siege.memory().values()]} MiB after",
        f"lag of the event loops: {lags or 'none'}",
        f"a cheap request meanwhile: {siege.worst_probe * 1000:.0f} ms at worst, "
        f"{siege.slow_probes} of {siege.probes} took more than "
        f"{WANTED_LAG * 1000:.0f} ms",
    ]
    lines += [f"slow: {took * 1000:.0f} ms {slow}" for took, _, slow in tally.slowest[:8]]
    return "\n".join(lines)


def run(siege: Siege, total: int, chosen: int, told: Callable[[str], object]) -> list[str]:
    """Prepare, attack, and look; gives what is wrong."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(siege.prepare())
        warm = min(WARM_UP, total // 2)
        chance = Random(chosen)
        runner.run(siege.attack([recipe(chance, EVERY_TEMPLATE, frozenset(FAMILY_NAMES), 3) for _ in range(warm)]))
        siege.memory_before = siege.memory()
        began = time.monotonic()
        probes = siege.probed()
        runner.run(probes.__aenter__())
        try:
            besiege(siege, runner, total, chosen, told)
        finally:
            runner.run(probes.__aexit__(None, None, None))
        told(summary(siege, runner, time.monotonic() - began))
        found = findings(siege, runner)
        siege.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", nargs="?", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koyomi-hostile-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = server_for(folder / "data", folder / "server.log")
        with running(server):
            siege = Siege(server)

            def stop(_number: int, _frame: object) -> None:
                siege.stopping = True

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            found = run(siege, arguments.requests, arguments.seed, lambda text: print(text, flush=True))
    print(*found, "nothing is wrong" if not found else f"{len(found)} findings", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
