"""Services read and change what a lookup found: they take no collection or home of which the policy was not asked."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import server
import server.services

BARE = re.compile(r"\b(Collection|Home)\b")
WITHOUT_LOOKUP = {
    "contents.Contents.content": "makes the content for a calendar of a recipient; the policy decides on deliveries",
    "objects.Objects.put_of": "makes the write for such a calendar, and applies nothing",
    "scheduling.default_calendar.make_default_calendar": "as contents.Contents.content",
    "objects.Objects.stored": "reads the texts of an object that its caller has found, for a write",
    "objects.Objects.owner_addresses": "as objects.Objects.stored",
    "objects.Objects.naming_holder": "names the member that has a UID in a collection which the caller has",
    "time.time_ranges.zone_of_calendar": "says something of a collection that the caller has",
}


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(server.services.__path__, "server.services."):
        yield importlib.import_module(found.name)


def waits(function: Callable[..., Any]) -> bool:
    returned = str(inspect.signature(function).return_annotation)
    plain = not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))
    return not plain or returned.startswith(("Async", "Awaitable"))


def functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions and methods of a module that can read or write: those that are awaited."""
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(item) and waits(item):
            yield name, item
        elif inspect.isclass(item):
            for inner, method in vars(item).items():
                if inspect.isfunction(method) and not inner.startswith("_") and waits(method):
                    yield f"{name}.{inner}", method


def test_only_the_lookup_makes_what_was_found() -> None:
    """A module that made one itself could give it any privileges."""
    package = Path(server.__path__[0])
    makers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Found"
    }
    assert makers == {"services/lookup.py"}


def test_services_take_what_was_found() -> None:
    bare = set()
    count = 0
    for module in modules():
        for name, function in functions(module):
            count += 1
            if any(BARE.search(str(each.annotation)) for each in inspect.signature(function).parameters.values()):
                bare.add(f"{module.__name__.removeprefix('server.services.')}.{name}")
    assert count > 60
    assert bare == WITHOUT_LOOKUP.keys()
