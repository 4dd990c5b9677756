"""What holds for all tests.

With `KOYOMI_CI=1` a skipped test is a failed one: what the tests need (PostgreSQL, clients, services) must be there.
Only tests marked `platform`, which concern another kind of machine, may be skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

IN_CI = os.environ.get("KOYOMI_CI") == "1"

# no deadline: how long an example takes says nothing on a busy machine
settings.register_profile("koyomi", deadline=None, print_blob=IN_CI)
settings.load_profile("koyomi")


def _demand(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Skipped, but nothing may be missing in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn the skip of a test into a failure."""
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    if item.get_closest_marker("platform") is None:
        _demand(report)
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Turn the skip of a whole module into a failure."""
    report: pytest.CollectReport = yield  # type: ignore[misc, assignment]
    _demand(report)
    return report  # type: ignore[return-value]
