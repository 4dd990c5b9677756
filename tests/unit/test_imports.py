"""No module of the server imports itself, not even through others, or for its types only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import grimp

PACKAGES = [each.name for each in Path(__file__).resolve().parents[2].iterdir() if (each / "__init__.py").exists()]
OURS = sorted({"server", "storage_plugins", "connectors", "admin_api"} & set(PACKAGES))


def circles(modules: Iterable[str], imported_by: Callable[[str], Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan), and modules that import themselves."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in imported_by(module):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in path:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            at = path.index(module)
            component, path[at:] = path[at:], []
            if len(component) > 1 or module in imported_by(module):
                found.append(sorted(component))

    for module in sorted(modules):
        if module not in number:
            visit(module)
    return sorted(found)


def test_imports_form_no_circle() -> None:
    """Imports under TYPE_CHECKING count: two modules that know each other's types cannot be understood apart."""
    graph = grimp.build_graph(*OURS, exclude_type_checking_imports=False, cache_dir=None)
    assert len(graph.modules) > 300
    assert "server.http.dispatch" in graph.find_modules_directly_imported_by("server.app")
    assert circles(graph.modules, graph.find_modules_directly_imported_by) == []


def test_circles_are_found() -> None:
    imports = {"a": "bc", "b": "d", "c": "d", "d": "e", "e": "b", "f": "f", "g": "ah", "h": "g"}
    assert circles(imports, lambda module: imports[module]) == [["b", "d", "e"], ["f"], ["g", "h"]]
    assert circles("abcd", lambda module: {"a": "bcd", "b": "cd", "c": "d", "d": ""}[module]) == []
