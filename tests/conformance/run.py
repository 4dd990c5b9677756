"""Run the conformance suite against a fresh server: `make conformance`.

Starts Koyomi on an empty embedded PostgreSQL with the suite's accounts and limits, runs the suite's tester, and leaves
results.json, traces and the server's output under build/conformance/ (or --out). The exit code is the tester's; with
--baseline it is 1 only when a test that the baseline lists fails now.

Before a baseline says that a test is lost, and before a list is recorded, the files of such tests run once more, and
slowly: the tester knows by the second of the last change which member is new.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # as a script, this file's own folder is there instead

from tests.conformance.settling import run_behind  # noqa: E402
from tests.server_process import SHARED, ServerProcess, free_port, running  # noqa: E402

CONFORMANCE = SHARED / "conformance"
LIMITS = {
    "limits.quota_bytes": 104857600,
    "limits.max_collections": 50,
    "limits.max_members": 10_000,
    "limits.max_attendees": 100,
}
"""What the suite asks about."""
AT_ONCE = {"scheduling.refresh_delay": 0, "scheduling.removal_delay": 0}
"""The suite waits for about a second for what follows from a change."""
LAST = ("CalDAV/implicitbatchrefresh.xml",)
"""Files that run behind all others. A UID that it uses twice in a calendar is refused (RFC 4791 §5.3.2.1); what it then
does not find in inboxes it leaves there, where other files count."""
RESULTS = "results.json"


def outcomes(results: Path) -> dict[str, str]:
    """The outcome of each test by its key, `FILE | SUITE | TEST`."""
    files = json.loads(results.read_text())["files"]
    return {test["key"]: test["outcome"] for file in files for test in file["tests"]}


def listed(baseline: Path) -> list[str]:
    """The tests that must pass."""
    lines = baseline.read_text().splitlines() if baseline.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def lost(baseline: Path, now: dict[str, str]) -> list[str]:
    """The listed tests that do not pass; those of files that did not run are left alone."""
    ran = {key.split(" | ")[0] for key in now}
    return [
        f"{key}: {now.get(key, 'missing')}"
        for key in listed(baseline)
        if key.split(" | ")[0] in ran and now.get(key) not in {"passed", "excused"}
    ]


def record(baseline: Path, now: dict[str, str]) -> None:
    """Write down what passes; tests of files that did not run stay."""
    ran = {key.split(" | ")[0] for key in now}
    kept = [key for key in listed(baseline) if key.split(" | ")[0] not in ran]
    passed = [key for key, outcome in now.items() if outcome == "passed"]
    head = "# The tests of the conformance suite that pass; `make conformance RECORD=1` writes this file.\n"
    baseline.write_text(head + "".join(f"{key}\n" for key in sorted({*kept, *passed})))


def selected(files: Path) -> list[str]:
    """The files of a list, in the order in which they run."""
    lines = [line.partition("#")[0].strip() for line in files.read_text().splitlines()]
    return in_order(line for line in lines if line)


def in_order(names: Iterable[str]) -> list[str]:
    """Files in their order, but for those of `LAST`."""
    return sorted(names, key=lambda name: name in LAST)


def slowed(suite: Path, names: Iterable[str], to: Path) -> Path:
    """A copy of some files of the suite, in which a second passes before each test that puts something."""
    for name in names:
        script = etree.parse(suite / name)
        for test in script.iterfind("test-suite/test"):
            first = test.find("request")
            if first is not None and any(method.text == "PUT" for method in test.iterfind("request/method")):
                delay = "<request><method>DELAY</method><ruri>1</ruri></request>"
                first.addprevious(etree.fromstring(delay))
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        script.write(to / name)
    return to


def run(options: argparse.Namespace, out: Path, suite: Path, names: Sequence[str]) -> int:
    """Run files of the suite against a new server; returns the exit code of the tester."""
    out.mkdir()
    settings = {**LIMITS, **AT_ONCE, "network.workers": options.workers}
    if options.by_jobs:
        settings |= {"scheduling.direct_recipients": 0, "scheduling.direct_refreshes": 0}
    server = ServerProcess(out / "data", out / "server.log", settings)
    print(server.command("principals", "load", str(CONFORMANCE / "accounts.json")), end="", flush=True)
    port = free_port() if options.by_jobs else server.port
    command = [sys.executable, "-m", "davtester", "--suite", suite, "--resources", options.suite.parent]
    command += ["--url", f"http://127.0.0.1:{port}", "--waits", "10,0.1,1"]
    command += ["--serverinfo", CONFORMANCE / "serverinfo.xml", "--json", out / RESULTS, "--trace", out / "traces"]
    if not options.all:
        command += ["--features", options.features, "--excused", options.excused]
    words = [*map(str, command), *names]
    with running(server):
        environment = os.environ | {"PYTHONPATH": str(CONFORMANCE), "PYTHONDONTWRITEBYTECODE": "1"}
        if options.by_jobs:
            return asyncio.run(run_behind(server, port, words, environment))
        return subprocess.run(words, env=environment, check=False).returncode


def main() -> int:
    """Run the suite and give the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--suite", type=Path, default=CONFORMANCE / "suite" / "tests", help="folder with the scripts")
    parser.add_argument("--scope", default="core", help="whose files, features and excused tests are run")
    parser.add_argument("--files", type=Path, help="list of the files to run")
    parser.add_argument("--features", type=Path, help="the features that are on")
    parser.add_argument("--excused", type=Path, help="tests that may fail, with reasons")
    parser.add_argument("--baseline", type=Path, help="list of tests that must pass")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the list of tests that pass")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the server")
    parser.add_argument(
        "--by-jobs", action="store_true", help="let jobs deliver all scheduling messages, as those to many recipients"
    )
    parser.add_argument("--all", action="store_true", help="run every file with all features that the suite knows")
    parser.add_argument("--out", type=Path, help="folder for data and results; emptied first")
    parser.add_argument("names", nargs="*", metavar="NAME", help="run these files of the suite instead of the list")
    options = parser.parse_args()
    for kind in ("files", "features", "excused"):
        default = CONFORMANCE / "scope" / f"{options.scope}.{kind}"
        setattr(options, kind, getattr(options, kind) or default)
    build = ROOT / "build"
    out = options.out or build / ("conformance" if options.scope == "core" else f"conformance-{options.scope}")

    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = out.with_name(f"{out.name}.lock").open("w")  # held until the end of the process
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        parser.error(f"another run uses {out}; choose another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    names = options.names or ([] if options.all else selected(options.files))
    status = run(options, out, options.suite, names)
    if not (out / RESULTS).exists():
        return status or 2
    now = outcomes(out / RESULTS)
    left = lost(options.baseline, now) if options.baseline else []
    if options.record:
        left += [key for key, outcome in now.items() if outcome not in ("passed", "excused", "ignored")]
    if left and not options.all:
        again = out / "again"
        files = in_order(sorted({key.partition(" | ")[0] for key in left}))
        print(f"Once more, slowly: {', '.join(files)}", flush=True)
        run(options, again, slowed(options.suite, files, again.with_name("slowed")), files)
        if (again / RESULTS).exists():
            now |= {key: outcome for key, outcome in outcomes(again / RESULTS).items() if outcome == "passed"}
    if options.record:
        record(options.record, now)
    if options.baseline:
        failures = lost(options.baseline, now)
        for failure in failures:
            print(f"lost: {failure}")
        print(f"{len(failures)} of the {len(listed(options.baseline))} tests that must pass do not")
        return 1 if failures else 0
    return status


if __name__ == "__main__":
    sys.exit(main())
