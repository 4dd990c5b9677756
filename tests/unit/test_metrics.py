from __future__ import annotations

import struct
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from server.observe import metrics
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
