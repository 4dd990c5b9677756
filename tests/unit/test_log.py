"""Logs: formats, the request's id, the libraries' lines, and what must not be shown."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.observe import log


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("server", "storage_plugins"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_carry_event_level_time_fields_and_the_request() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    token = log.request_id.set("r1")
    structlog.get_logger().info("put_stored", home=7)
    log.request_id.reset(token)
    structlog.get_logger().warning("slow_request", seconds=2.5)
    first, second = lines(stream)
    assert first.pop("timestamp")
    assert first == {"event": "put_stored", "level": "info", "home": 7, "request_id": "r1"}
    assert "request_id" not in second


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    log.configure("warning", "json", stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    logging.getLogger("aiohttp.server").info("quiet")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_libraries_log_in_the_same_format() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling %s", "request")
    (line,) = lines(stream)
    assert line["event"] == "Error handling request"
    assert line["logger"] == "aiohttp.server"
    assert "ValueError: x" in str(line["exception"])


def test_our_own_lines_through_logging_keep_to_the_level() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    logging.getLogger("storage_plugins.postgres.embedded.server").info("PostgreSQL starts")
    logging.getLogger("storage_plugins.postgres.embedded.server").debug("quiet")
    logging.getLogger("asyncio").info("quiet")
    assert [line["event"] for line in lines(stream)] == ["PostgreSQL starts"]


@pytest.mark.parametrize("line_format", ["json", "console"])
def test_neither_secrets_nor_the_values_of_variables_are_shown(line_format: str) -> None:
    stream = io.StringIO()
    log.configure("info", line_format, stream)  # type: ignore[arg-type]
    structlog.get_logger().info("asked", password="geheim", authorization="geheim")
    password = "".join(["ge", "heim"])
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "failed" in stream.getvalue()
    assert "geheim" not in stream.getvalue()


@pytest.mark.parametrize("line_format", ["json", "console"])
def test_a_value_cannot_forge_a_line(line_format: str) -> None:
    stream = io.StringIO()
    log.configure("info", line_format, stream)  # type: ignore[arg-type]
    structlog.get_logger().info("asked", path="/a\n2026-01-01 [info] forged\x1b[2J\ud800")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in stream.getvalue()


def test_auto_is_json_when_it_is_no_terminal() -> None:
    stream = io.StringIO()
    log.configure("info", "auto", stream)
    structlog.get_logger().info("asked")
    assert lines(stream)[0]["event"] == "asked"
