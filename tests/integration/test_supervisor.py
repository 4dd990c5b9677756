"""The process model: one parent, several workers on its sockets."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from server.domain.errors import ConfigurationError
from server.process.listening import close_all, open_listeners, url_of

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


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


class Server:
    """The supervised application, started and listening."""

    def __init__(self, process: subprocess.Popen[str], marks: Path) -> None:
        self.process = process
        self.marks = marks
        url = marks / "url"
        until(lambda: url.exists() and url.read_text())
        self.address = urlsplit(url.read_text())

    def until_ready(self) -> None:
        """Wait until all workers accept connections."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == self.address.geturl()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(str(self.address.hostname), self.address.port or 0, timeout=PATIENCE)

    def get(self, path: str = "/") -> str:
        connection = self.connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def refuses(self) -> bool:
        try:
            socket.create_connection((self.address.hostname or "", self.address.port or 0), timeout=5).close()
        except ConnectionError:
            return True
        return False

    def in_background(self, path: str) -> tuple[threading.Thread, list[object]]:
        """Send a request that takes long; the answer or the error is in the list when the thread ends."""
        results: list[object] = []

        def ask() -> None:
            try:
                results.append(self.get(path))
            except (OSError, http.client.HTTPException) as error:
                results.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        return thread, results


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[subprocess.Popen[str]] = []

    def run(workers: int = 2, stop_timeout: float = PATIENCE, *, ready: bool = True) -> Server:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.supervised", str(workers), tmp_path, str(stop_timeout), "sound"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        server = Server(process, tmp_path)
        if ready:
            server.until_ready()
        return server

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def connections(server: Server, number: int) -> Iterator[Counter[int]]:
    """Open connections at once, keep them, and tell how many each worker has."""
    kept = [server.connect() for _ in range(number)]
    try:
        for connection in kept:
            connection.connect()
        answers = []
        for connection in kept:
            connection.request("GET", "/")
            answers.append(int(connection.getresponse().read()))
        yield Counter(answers)
    finally:
        for connection in kept:
            connection.close()


def test_connections_lie_evenly_on_the_workers(start: Callable[..., Server]) -> None:
    server = start()
    workers = server.workers()

    def lie_evenly(number: int) -> bool:
        with connections(server, number) as found:
            # A worker that is slow to wake may leave one to another.
            counts = [found[worker] for worker in workers]
            return max(counts) - min(counts) <= number // 4

    for number in (8, 40):
        # On a busy machine a worker may be very slow to wake.
        assert any(lie_evenly(number) for _ in range(10))


def test_a_worker_that_dies_is_followed_by_another(start: Callable[..., Server]) -> None:
    server = start()
    before = server.workers()
    assert len(before) == 2
    (server.marks / "held").touch()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        server.get("/crash")
    # The other one serves all the while.
    assert int(server.get()) in before
    (server.marks / "held").unlink()
    until(lambda: len(server.workers() - before) == 1)
    until(lambda: int(server.get()) not in before)


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_a_stop_finishes_the_requests_under_way(start: Callable[..., Server], numbers: list[signal.Signals]) -> None:
    server = start()
    thread, results = server.in_background("/wait")
    until((server.marks / "waiting").exists)
    for number in numbers:
        server.process.send_signal(number)
    until(server.refuses)
    assert server.process.poll() is None
    (server.marks / "go").touch()
    thread.join(PATIENCE)
    assert server.process.wait(PATIENCE) == 0
    assert isinstance(results[0], str)
    assert results[0].isdecimal()


def test_a_stop_breaks_off_requests_after_the_limit(start: Callable[..., Server]) -> None:
    server = start(stop_timeout=0.1)
    thread, results = server.in_background("/wait")
    until((server.marks / "waiting").exists)
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0
    thread.join(PATIENCE)
    assert isinstance(results[0], Exception)


def test_a_second_signal_ends_even_a_worker_that_does_not_listen(start: Callable[..., Server]) -> None:
    server = start()
    thread, _ = server.in_background("/block")
    until((server.marks / "blocked").exists)
    server.process.terminate()
    until(lambda: len(server.workers()) == 1)
    time.sleep(1.5)  # several signals within a second are one
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0
    thread.join(PATIENCE)


def is_free(port: int) -> bool:
    """Whether a server can listen on a port; a client anywhere on the machine may hold it for a moment."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("path", ["/wait", "/block"])
def test_nothing_outlives_a_parent_that_is_killed(start: Callable[..., Server], path: str) -> None:
    server = start()
    workers = server.workers()
    thread, _ = server.in_background(path)
    until((server.marks / ("waiting" if path == "/wait" else "blocked")).exists)
    server.process.kill()
    until(lambda: not any(lives(worker) for worker in workers))
    thread.join(PATIENCE)
    until(lambda: is_free(server.address.port or 0))


def test_workers_are_replaced_while_others_serve(start: Callable[..., Server]) -> None:
    server = start()
    before = server.workers()
    server.process.send_signal(signal.SIGUSR2)
    answered = 0
    while server.workers() & before:
        assert server.get().isdecimal()
        answered += 1
    assert answered
    until(lambda: len(server.workers()) == 2)
    assert server.get().isdecimal()


def logged(server: Server, event: str) -> bool:
    return f'"event": "{event}"' in (server.marks / "log").read_text()


def test_workers_whose_successors_do_not_start_go_on(start: Callable[..., Server]) -> None:
    server = start()
    before = server.workers()
    (server.marks / "broken").touch()
    server.process.send_signal(signal.SIGUSR2)
    until(lambda: logged(server, "workers_not_replaced"))
    assert (server.marks / "refused").exists()
    until(lambda: server.workers() == before)
    assert int(server.get()) in before
    server.process.send_signal(signal.SIGHUP)
    until(lambda: logged(server, "certificate_reloaded"))
    (server.marks / "broken").unlink()
    server.process.send_signal(signal.SIGUSR2)
    until(lambda: logged(server, "workers_replaced"))
    until(lambda: len(server.workers()) == 2)
    assert not server.workers() & before
    assert int(server.get()) in server.workers()
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0


def test_signals_are_heard_while_a_successor_takes_long_to_start(start: Callable[..., Server]) -> None:
    server = start(workers=1)
    (before,) = server.workers()
    (server.marks / "slow").touch()
    server.process.send_signal(signal.SIGUSR2)
    until((server.marks / "starting").exists)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: logged(server, "certificate_reloaded"))
    assert int(server.get()) == before
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0
    until(lambda: not lives(before))


def test_one_worker_is_replaced_without_a_moment_in_which_none_serves(start: Callable[..., Server]) -> None:
    server = start(workers=1)
    (before,) = server.workers()
    thread, results = server.in_background("/wait")
    until((server.marks / "waiting").exists)
    server.process.send_signal(signal.SIGUSR2)
    # The old one still finishes its request when the new one answers.
    until(lambda: int(server.get()) != before)
    assert lives(before)
    (server.marks / "go").touch()
    thread.join(PATIENCE)
    assert results == [str(before)]
    until(lambda: logged(server, "workers_replaced"))
    assert before not in server.workers()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process can be set on Linux only")
def test_a_process_that_cannot_be_made_is_made_later(start: Callable[..., Server]) -> None:
    server = start()
    before = server.workers()
    parent = psutil.Process(server.process.pid)
    limits = parent.rlimit(psutil.RLIMIT_NOFILE)
    # No descriptor is left for the channel to another worker.
    parent.rlimit(psutil.RLIMIT_NOFILE, (3, limits[1]))
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        server.get("/crash")
    until(lambda: logged(server, "background_task_failed"))
    assert int(server.get()) in before, "the other one serves"
    parent.rlimit(psutil.RLIMIT_NOFILE, limits)
    until(lambda: len(server.workers() - before) == 1)
    server.process.terminate()
    assert server.process.wait(PATIENCE) == 0


def test_a_worker_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.supervised", "2", tmp_path, "1", "broken"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert done.stdout == ""


def test_a_worker_that_cannot_start_beside_one_that_serves_is_started_again(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "late").touch()
    server = start(ready=False)
    first = int(server.get())
    until(lambda: len(server.workers()) == 2)
    (second,) = server.workers() - {first}
    # As when the database is away for a moment.
    (tmp_path / "broken").touch()
    (tmp_path / "late").unlink()
    until((tmp_path / "refused").exists)
    until(lambda: not lives(second))
    assert int(server.get()) == first
    (tmp_path / "broken").unlink()
    server.until_ready()
    assert first in server.workers()
    assert len(server.workers()) == 2


def test_the_parent_stays_small() -> None:
    heavy = ["aiohttp", "lxml", "asyncpg", "uvloop", "server.app", "server.dav"]
    code = f"import sys, server.process.supervisor; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listening_on_all_addresses_takes_both_protocols() -> None:
    listeners = open_listeners("::", 0)
    try:
        port = listeners[0].getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()
        assert url_of(listeners[0]) == f"http://[::1]:{port}"
    finally:
        close_all(listeners)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"{port} of 127.0.0.1 is in use.*--port"):
            open_listeners("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "\udc80", "a" * 70 + ".example"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError):
        open_listeners(host, 0)
