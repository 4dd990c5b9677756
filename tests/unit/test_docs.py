"""The documents name what exists: modules, tests, commands, targets, settings and links."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from server.cli import COMMANDS
from server.dav import standards
from server.settings.explain import variable
from server.settings.model import options

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
STANDARDS = (ROOT / "docs/standards.md").read_text()
BUILT = ("./var", "build/", "../", "traces/")
"""What a run leaves, and what lies outside of the project."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    table = STANDARDS.split(heading)[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def test_each_standard_names_its_modules_and_the_tests_that_prove_it() -> None:
    found = rows("# Standards")
    assert found
    for standard, what, modules, tests in found:
        assert what
        assert re.match(r"RFC \d+|calendarserver|webcal", standard)
        assert code(modules), standard
        assert all((ROOT / path).exists() and path.startswith("server/") for path in code(modules)), modules
        assert code(tests), standard
        for test in code(tests):
            path, _, name = test.partition("::")
            assert (ROOT / path).exists(), test
            assert path.startswith("tests/"), test
            if path.endswith("passed.txt"):
                assert f"\n{name} | " in (ROOT / path).read_text(), test
            elif name:
                assert re.search(rf"^\s*(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_every_module_of_a_standard_has_a_row() -> None:
    named = {path for row in rows("# Standards") for path in code(row[2])}
    files = [
        Path(*module.__name__.split("."))
        for module in vars(standards).values()
        if isinstance(module, ModuleType) and module.__name__.startswith("server.dav.")
    ]
    unnamed = [file for file in files if not named & {str(file), f"{file}.py"}]
    assert unnamed == []


@pytest.mark.parametrize("name", NAMES)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / name).parent / path if path else ROOT / name
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_documents_exist(name: str) -> None:
    for text in code((ROOT / name).read_text()):
        if re.fullmatch(r"[\w.]+(/[\w.]+)+/?", text) and not text.startswith(BUILT) and "KOYOMI" not in text:
            assert (ROOT / text).exists(), text


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_and_variables_in_documents_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in [*re.findall(r"`make ([a-z]+)", text), *re.findall(r"^make ([a-z]+)", text, re.MULTILINE)]:
        assert target in targets
    known = {"KOYOMI_CONFIG", "KOYOMI_CI", "KOYOMI_TEST_POSTGRES_BIN", *map(variable, options())}
    for named in re.findall(r"\bKOYOMI_[A-Z_]+\b", text):
        assert named in known


def test_the_glossary_has_each_term_once_in_order() -> None:
    lines = (ROOT / "docs/glossary.md").read_text().splitlines()
    terms = [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:]
    assert len(terms) > 50
    assert terms == sorted(set(terms), key=str.casefold)


def test_every_command_is_described() -> None:
    commands = re.findall(r"^\| `koyomi ([a-z]+)", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert set(commands) == set(COMMANDS)
