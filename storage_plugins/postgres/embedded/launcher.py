"""Starting, adopting and stopping the embedded PostgreSQL of a data folder; blocking.

`DATA/postgres` holds:

- `cluster`, PostgreSQL's data directory; `cluster.new` while it is made;
- `run`, the folder of the socket, or a link to one in the folder for temporary files if the path would be too long;
- `koyomi.conf`, `pg_hba.conf`, `pg_ident.conf`, written at every start; `postgresql.log`;
- `binaries`, copies of the programs, if the account that PostgreSQL runs as cannot reach the originals (they are in
  `/var/cache/koyomi` if it cannot enter the data folder without a capability either);
- three files that are only locked (flock(2)):
  - `starting.lock`: exclusively, by the process that starts, adopts or stops PostgreSQL at the moment;
  - `users.lock`: shared, by every process that needs PostgreSQL. The last process that releases it stops PostgreSQL;
  - `running.lock`: exclusively, by PostgreSQL itself. The postmaster inherits the open file and its children from it,
  so the
    lock is held as long as one of them lives, whatever pid files say and whichever other processes have died.

The system releases the locks of a process that dies, however it dies; nothing here is ever stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from server.domain.errors import ConfigurationError, DatabaseError
from storage_plugins.postgres.embedded import cluster_settings
from storage_plugins.postgres.embedded.account import Account, account_name, choose_account
from storage_plugins.postgres.embedded.binaries import Binaries, copy_of_wheel, find_binaries
from storage_plugins.postgres.embedded.initdb import environment, make_cluster
from storage_plugins.postgres.embedded.postmaster import PidFile, read_pid_file, running_postmaster
from storage_plugins.postgres.embedded.socket_folder import answers, remove_short_folder, socket_files, socket_folder

_LOG_LIMIT = 5_000_000
"""Bytes; a larger log is put aside at start."""
_SHARED_BINARIES = Path("/var/cache/koyomi")
"""The folder of root's copies of the programs for PostgreSQL's account, if that account cannot enter the data
folder."""


class Abandoned(Exception):
    """The caller has ended its use of PostgreSQL."""


class Launcher:
    """One process's use of the PostgreSQL of a data folder: `enter`, `revive` as needed, `leave`.

    Its methods block; one thread at a time. Setting `abandon` makes them give up and raise `Abandoned`.
    """

    def __init__(
        self,
        data: Path,
        *,
        binaries: Path | None,
        durable: bool,
        progress: Callable[[str], None],
        abandon: threading.Event,
    ) -> None:
        self._data = data.resolve()
        self._folder = self._data / "postgres"
        self._cluster = self._folder / "cluster"
        self._binaries = binaries
        self._durable = durable
        self._progress = progress
        self._abandon = abandon
        self._users: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def enter(self) -> PidFile:
        """Start PostgreSQL, or join the one that runs; returns when it takes connections.

        Recovery after a crash takes as long as it takes. Raises `ConfigurationError` and `DatabaseError` with what
        mends it, and `Abandoned`.
        """
        self._prepare_folder()
        with self._starting():
            self._users = self._lock_file("users.lock")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            try:
                return self._bring_up()
            except BaseException as error:
                self._abandon.clear()
                self._leave()
                if isinstance(error, OSError):
                    raise DatabaseError(f"PostgreSQL cannot be started in {self._folder}: {error}") from error
                raise

    def revive(self) -> None:
        """Start PostgreSQL again if it died, unless another process does. Raises as `enter` does."""
        with self._starting(wait=False) as mine:
            if mine and not self._living():
                self._progress("PostgreSQL has ended unexpectedly and is started again")
                self._bring_up()

    def leave(self) -> None:
        """Stop using PostgreSQL; it is stopped if no other process uses it. Returns when it has exited."""
        self._abandon.clear()
        if self._users is not None:
            with self._starting():
                self._leave()

    # -- other data ---------------------------------------------------------------------------------------------------

    def put_in_place(
        self, binaries: Binaries, make: Callable[[Path, Account, Binaries], None], *, replace: bool
    ) -> Path | None:
        """Have `make` fill an empty folder, which then becomes the data directory; returns the path of the former one.

        PostgreSQL must not run. Raises `ConfigurationError` if it does, or if there is a data directory and `replace`
        does not allow to put it aside.
        """
        self._prepare_folder()
        with self._starting():
            if self._living():
                raise ConfigurationError(f"The PostgreSQL in {self._folder} is in use: stop the server first")
            exists = self._cluster.is_dir() and any(self._cluster.iterdir())
            if exists and not replace:
                raise ConfigurationError(
                    f"There are data in {self._folder} already; name another folder with --data, or put them aside: "
                    "--replace"
                )
            account = self._reaching_account()
            unfinished = self._cluster.with_name("cluster.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            os.chown(unfinished, account.uid, account.gid)
            try:
                make(unfinished, account, self._reachable_binaries(binaries, account))
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            aside = self._cluster.with_name(time.strftime("cluster.before-%Y%m%dT%H%M%SZ", time.gmtime()))
            if exists:
                self._cluster.rename(aside)
            unfinished.rename(self._cluster)
            return aside if exists else None

    def put_back(self, former: Path | None) -> None:
        """Undo `put_in_place`."""
        with self._starting():
            shutil.rmtree(self._cluster)
            if former is not None:
                former.rename(self._cluster)

    # -- locks --------------------------------------------------------------------------------------------------------

    def _prepare_folder(self) -> None:
        try:
            if not self._data.is_dir():
                self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
                if os.geteuid() == 0:
                    # PostgreSQL runs as another account then and must come through.
                    self._data.chmod(0o711)
            if not self._folder.is_dir():
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._give(self._folder)
                if self._folder.stat().st_uid == 0:
                    self._folder.chmod(0o711)
            if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self._folder))
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self._data} cannot be used ({error.strerror}: {error.filename}); "
                "name another one with --data"
            ) from error

    def _give(self, target: Path | int) -> None:
        """If root works in the data folder of an ordinary user, give new files to that user."""
        if os.geteuid() == 0:
            owner = (self._folder if self._folder.stat().st_uid else self._data).stat()
            os.chown(target, owner.st_uid, owner.st_gid)

    def _lock_file(self, name: str) -> int:
        handle = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._give(handle)
        return handle

    @contextlib.contextmanager
    def _starting(self, *, wait: bool = True) -> Iterator[bool]:
        handle = self._lock_file("starting.lock")
        try:
            patience = self._patience("Another process is starting or stopping PostgreSQL; waiting for it")
            while not (mine := _try_lock(handle)) and wait:
                next(patience)
            yield mine
        finally:
            os.close(handle)

    def _running_lock(self) -> int | None:
        """The lock that PostgreSQL holds while it lives; None if it does."""
        handle = self._lock_file("running.lock")
        if _try_lock(handle):
            return handle
        os.close(handle)
        return None

    def _living(self) -> bool:
        handle = self._running_lock()
        if handle is None:
            return True
        os.close(handle)
        # Started by hand with the programs of PostgreSQL, it does not hold the lock.
        return running_postmaster(self._cluster, self._owner()) is not None

    def _owner(self) -> int:
        try:
            return self._cluster.stat().st_uid
        except FileNotFoundError:
            return -1

    def _patience(self, message: str) -> Iterator[None]:
        """Wait a little at each step. Report the reason after two seconds, and every 30 seconds."""
        told, pause = time.monotonic() - 28.0, 0.005
        while True:
            if self._abandon.wait(pause):
                raise Abandoned
            pause = min(pause * 1.5, 0.2)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                self._progress(message)
            yield

    # -- starting -----------------------------------------------------------------------------------------------------

    def _bring_up(self) -> PidFile:
        if self._child is not None:
            self._child.wait()
            self._child = None
        patience = self._patience("Waiting for the processes of a PostgreSQL that was killed to end")
        while (ready := self._await_ready()) is None:
            if self._child is not None:
                self._explain_end(self._child)
                self._child = None
                next(patience)
            self._spawn()
        return ready

    def _await_ready(self) -> PidFile | None:
        """The postmaster, once it takes connections; None if none lives."""
        patience = self._patience("PostgreSQL is starting, or recovering from a crash; this takes as long as it takes")
        while self._living():
            noted = read_pid_file(self._cluster)
            if noted is not None and noted.status == "ready" and answers(noted):
                return noted
            next(patience)
        return None

    def _explain_end(self, child: subprocess.Popen[bytes]) -> None:
        """Raise the reason why a PostgreSQL that was started here exited, unless the reason is temporary."""
        status = child.wait()
        with (self._folder / "postgresql.log").open("rb") as log:
            log.seek(self._log_start)
            lines = [line for line in log.read(1_000_000).decode(errors="replace").splitlines() if line.strip()]
        # Processes of a postmaster that was killed end by themselves, but maybe not at once.
        if status == 0 or any("is still in use" in line for line in lines):
            return
        told = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines[-1:]
        reason = told[0].strip() if told else f"exit status {status}"
        raise DatabaseError(f"PostgreSQL does not start: {reason} (more in {self._folder / 'postgresql.log'})")

    def _spawn(self) -> None:
        account = self._reaching_account()
        version = self._cluster / "PG_VERSION"
        major = int(version.read_text()) if version.exists() else None
        binaries = self._reachable_binaries(find_binaries(self._binaries, major=major), account)
        sockets = socket_folder(self._folder / "run", account)
        if major is None:
            self._progress("Setting up the database (once, a few seconds)")
            make_cluster(self._cluster, account, binaries, durable=self._durable)
        settings = cluster_settings.postgresql_conf(
            folder=self._folder,
            socket_folder=sockets,
            durable=self._durable,
            memory=cluster_settings.physical_memory(),
        )
        self._write(cluster_settings.SETTINGS_FILE, settings)
        self._write("pg_hba.conf", cluster_settings.pg_hba_conf())
        self._write("pg_ident.conf", cluster_settings.pg_ident_conf(self._client_accounts()))
        running = self._running_lock()
        if running is None:
            return
        try:
            # Nothing of this cluster lives, so these are stale. PostgreSQL itself would believe them if an unrelated
            # process happened to have the pid that they name.
            for stale in (self._cluster / "postmaster.pid", *socket_files(sockets)):
                stale.unlink(missing_ok=True)
            log = self._open_log()
            try:
                # A session of its own: Ctrl-C at the terminal must not reach it.
                self._child = subprocess.Popen(  # noqa: S603
                    account.command(binaries.postgres, "-D", str(self._cluster)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    env=environment(),
                    pass_fds=(running,),
                    start_new_session=True,
                    umask=0o077,
                )
            finally:
                os.close(log)
        finally:
            os.close(running)

    def _reaching_account(self) -> Account:
        """The account to run PostgreSQL as, with the capability if it needs it to reach its data."""
        account = choose_account(self._folder)
        if account.reaches([self._folder]):
            return account
        if account.with_search().reaches([self._folder]):
            return account.with_search()
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and the account {account_name(account.uid)} cannot enter "
            f"{self._folder}; name a folder that others can enter: --data /var/lib/koyomi"
        )

    def _reachable_binaries(self, binaries: Binaries, account: Account) -> Binaries:
        # The capability does not help here: initdb asks access(2) about its companion, which disregards it.
        plain = account.without_search()
        if plain.reaches([binaries.folder, binaries.postgres, binaries.initdb]):
            return binaries
        if not binaries.of_wheel:
            raise ConfigurationError(
                f"PostgreSQL does not run as root, and the account {account_name(plain.uid)} cannot run the programs "
                f"in {binaries.folder}; name a folder that others can enter and read"
            )
        into = self._folder / "binaries" if plain.reaches([self._folder]) else _SHARED_BINARIES
        try:
            with contextlib.suppress(FileExistsError):
                into.mkdir(mode=0o700)
                into.chmod(0o755)
            facts = into.stat()
            if facts.st_uid != 0 or facts.st_mode & 0o022:
                raise PermissionError(13, "others may write there", str(into))
            return copy_of_wheel(binaries, into)
        except OSError as error:
            raise ConfigurationError(
                f"PostgreSQL's programs cannot be copied to {into} for the account {account_name(plain.uid)} "
                f"({error.strerror}); name a data folder that others can enter: --data /var/lib/koyomi"
            ) from error

    def _client_accounts(self) -> list[str]:
        """The accounts that may connect: root, the account of this process, and the owner of the data folder."""
        names = {account_name(os.geteuid())}
        for uid in (0, self._folder.stat().st_uid):
            with contextlib.suppress(ConfigurationError):
                names.add(account_name(uid))
        return sorted(names)

    def _write(self, name: str, text: str) -> None:
        """Replace a file; PostgreSQL's account can read it."""
        handle, temporary = tempfile.mkstemp(dir=self._folder)
        with open(handle, "w") as file:
            file.write(text)
            self._give(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        os.replace(temporary, self._folder / name)

    def _open_log(self) -> int:
        path = self._folder / "postgresql.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > _LOG_LIMIT:
                path.replace(path.with_suffix(".log.1"))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._give(handle)
        self._log_start = os.fstat(handle).st_size
        return handle

    # -- stopping -----------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """With `starting.lock` held: end the use of PostgreSQL, and stop it if this was the last use."""
        if self._users is None:
            return
        handle, self._users = self._users, None
        try:
            if _try_lock(handle):
                self._stop()
        finally:
            os.close(handle)
        if self._child is not None:
            if self._living():
                # Other processes use it. The last one stops it, and the system reaps it after this process exits.
                self._child.returncode = 0
            else:
                self._child.wait()
            self._child = None

    def _stop(self) -> None:
        patience = self._patience("Waiting for PostgreSQL to write everything down and stop")
        asked: int | None = None
        while (running := self._running_lock()) is None:
            postmaster = running_postmaster(self._cluster, self._owner(), certain=True)
            if postmaster is not None and postmaster.pid != asked:
                # Fast shutdown: transactions are rolled back, then everything is written down.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(postmaster.pid, signal.SIGINT)
                asked = postmaster.pid
            elif postmaster is None and asked is None and (noted := read_pid_file(self._cluster)) and answers(noted):
                self._progress("PostgreSQL was started in another container and cannot be stopped from here")
                return
            next(patience)
        os.close(running)
        remove_short_folder(self._folder / "run")


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
