"""The trace context that is recorded with a change, where the server sends traces."""

from __future__ import annotations

import time

import pytest

from server.observe.tracing import TRACE_CONTEXT, Tracing, context_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> Tracing:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    return Tracing()


@pytest.mark.parametrize("flags", ["00", "01"])
def test_it_is_that_of_the_servers_span_in_the_callers_trace(tracing: Tracing, flags: str) -> None:
    sent = f"00-{TRACE}-{PARENT}-{flags}"
    context = tracing.begin(time.perf_counter(), {TRACE_CONTEXT: sent}).context
    version, trace, span, sampled = context.split("-")
    assert (version, trace, sampled) == ("00", TRACE, flags)
    assert span != PARENT
    assert context_of({TRACE_CONTEXT: context}) == context


def test_without_a_caller_it_begins_a_trace(tracing: Tracing) -> None:
    contexts = {tracing.begin(time.perf_counter(), None).context for _ in range(2)}
    assert len(contexts) == 2
    assert {context_of({TRACE_CONTEXT: context}) for context in contexts} == contexts
