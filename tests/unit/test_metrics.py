from __future__ import annotations

import struct
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from server.observe import metrics
from server.observe.costs import Costs
from server.observe.metrics import Metrics


async def test_a_file_that_a_worker_is_creating_is_read_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus's client creates the file of a worker's counters and gives it its size afterwards."""
    created = tmp_path / "counter_7.db"
    created.touch()
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            written = MmapedDict(str(created))
            written.write_value(mmap_key("koyomi_a", "koyomi_a_total", [], [], "A"), 5.0, 0.0)
            written.close()

    monkeypatch.setattr(metrics.time, "sleep", pause)
    counted = Metrics()
    monkeypatch.setattr(counted, "_folder", str(tmp_path))
    assert b"koyomi_a_total 5.0" in await counted.text()
    assert len(pauses) == 3


async def test_a_file_that_stays_empty_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counter_7.db").touch()
    monkeypatch.setattr(metrics, "READ_PAUSE", 0.0)
    counted = Metrics()
    monkeypatch.setattr(counted, "_folder", str(tmp_path))
    with pytest.raises(struct.error):
        await counted.text()


async def test_requests_are_counted_with_their_durations_and_costs() -> None:
    counted = Metrics()
    kind = ("REPORT", "calendar-query", "other")
    for seconds, status in ((0.001, 207), (0.0011, 207), (11.0, 207), (0.3, 403)):
        costs = Costs()
        costs.count(0.25, rows=1)
        costs.count(0.25, rows=2)
        costs.expansion_seconds = 0.25
        counted.request(kind, status, seconds, costs)
    for _ in range(2):  # what was read is not counted again
        lines = (await counted.text()).decode().splitlines()
        labels = 'method="REPORT",report="calendar-query"'
        of_client = f'client="other",{labels}'
        assert f'koyomi_requests_total{{{of_client},status="207"}} 3.0' in lines
        assert f'koyomi_requests_total{{{of_client},status="403"}} 1.0' in lines
        buckets = {
            line.rpartition('le="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("koyomi_request_duration_seconds_bucket")
        }
        assert (buckets["0.001"], buckets["0.0025"], buckets["0.5"], buckets["10.0"], buckets["+Inf"]) == (
            1,
            2,
            3,
            3,
            4,
        )
        assert f"koyomi_request_duration_seconds_sum{{{of_client}}} {0.001 + 0.0011 + 11.0 + 0.3}" in lines
        assert f"koyomi_request_statements_total{{{labels}}} 8.0" in lines
        assert f"koyomi_request_rows_total{{{labels}}} 12.0" in lines
        assert f"koyomi_request_database_seconds_total{{{labels}}} 2.0" in lines
        assert f"koyomi_request_expansion_seconds_total{{{labels}}} 1.0" in lines
