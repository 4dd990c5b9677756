"""Settings: sources, refusals and what their messages tell."""

import dataclasses
import os
import pickle
import tomllib
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docs.settings_reference import SAMPLE, documents, sample
from server.domain.errors import ConfigurationError
from server.domain.limits import Limits
from server.settings.explain import allowed_values, option_extra
from server.settings.load import load
from server.settings.model import Settings, cores


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("KOYOMI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(file: Path | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(file, overrides)
    return caught.value.message


def test_defaults_need_nothing() -> None:
    made = load()
    assert (made.host, made.port, made.data) == ("127.0.0.1", 5232, Path("var"))
    assert made.workers == cores() >= 1
    assert made.limits == Limits()


def test_the_command_line_overrides_the_environment_which_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.toml").write_text('port = 1001\nhost = "::1"\nworkers = 3\n')
    monkeypatch.setenv("KOYOMI_PORT", "1002")
    monkeypatch.setenv("KOYOMI_HOST", "0.0.0.0")
    made = load(tmp_path / "a.toml", {"port": 1003, "workers": None})
    assert (made.port, made.host, made.workers) == (1003, "0.0.0.0", 3)


def test_the_file_is_found_by_variable_and_by_its_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/koyomi.toml").write_text("port = 1001")
    (tmp_path / "other.toml").write_text("port = 1002")
    assert load().port == 1001
    monkeypatch.setenv("KOYOMI_CONFIG", "other.toml")
    assert load().port == 1002
    assert load(Path("config/koyomi.toml")).port == 1001


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("trusted_proxies", "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
        ("trusted_proxies", "", ()),
        ("gzip", "false", False),
        ("quota_bytes", "10 MiB", 10 << 20),
        ("quota_bytes", "104857600", 104857600),
        ("min_date_time", "1604-01-01T00:00:00Z", datetime(1604, 1, 1, tzinfo=UTC)),
        ("external_url", "https://example.org/koyomi/", "https://example.org/koyomi"),
        ("postgres_bin", "", None),
        ("log_format", "json", "json"),
    ],
)
def test_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"KOYOMI_{name.upper()}", text)
    assert getattr(load(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "abc"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", ""),
        ("workers", "1.5"),
        ("workers", "9" * 5000),
        ("database", "mysql://u:geheim@h/x"),
        ("data", ""),
        ("slow_request", "nan"),
        ("slow_request", "inf"),
        ("slow_request", "0"),
        ("gzip", "perhaps"),
        ("log_level", "loud"),
        ("host", ""),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "example.org"),
        ("external_url", "example.org"),
        ("external_url", "https://example.org/?x=1"),
        ("external_url", "https://u:p@example.org/"),
        ("external_url", "https://example.org:99999/"),
        ("external_url", "http://[x"),
        ("external_url", "https://example.org/a//b"),
        ("remote_user_header", "Remote User"),
        ("quota_bytes", "5 XB"),
        ("quota_bytes", "-1"),
        ("min_date_time", "1900"),
        ("min_date_time", "1900-01-01T00:00:00"),
        ("min_date_time", "1900-01-01T00:00:00+01:00"),
        ("sync_token_days", "30"),
    ],
)
def test_a_wrong_setting_is_refused_with_name_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    variable = f"KOYOMI_{name.upper()}"
    monkeypatch.setenv(variable, text)
    message = refusal()
    shown = "(not shown)" if name == "database" else repr(text)[:190]
    assert message.startswith(f"{variable} is {shown}")
    assert message.endswith(f"; allowed: {allowed_values(name)}")
    assert len(message) < 500
    assert "\n" not in message


def test_all_wrong_settings_are_told_at_once_each_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("port = 70000\nworker = 2\ngzip = 5\n[network]\nhost = 'x'\n")
    monkeypatch.setenv("KOYOMI_PAGE_SIZE", "0")
    monkeypatch.setenv("KOYOMI_PROT", "1")
    assert set(refusal(file, stop_timeout=-1).split("\n")) == {
        f"port in {file} is 70000; allowed: a whole number from 0 to 65,535",
        f"worker in {file} is no setting; did you mean workers?",
        f"gzip in {file} is 5; allowed: true or false",
        f"network in {file} is no setting",
        "KOYOMI_PAGE_SIZE is '0'; allowed: a whole number from 10 to 10,000",
        "KOYOMI_PROT is no setting; did you mean KOYOMI_PORT?",
        "--stop-timeout is -1; allowed: a number from 0 to 3600",
    }


def test_values_of_another_type_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    for line in ("port = true", "host = 5", "data = 5", 'data = "a\\u0000b"', 'trusted_proxies = {a = "b"}',
                 "workers = []", "min_date_time = 1900-01-01", "database = 5"):  # fmt: skip
        file.write_text(line)
        assert refusal(file).startswith(f"{line.split()[0]} in {file} is ")


def test_settings_that_do_not_go_together() -> None:
    assert "trusted_proxies" in refusal(remote_user_header="Remote-User")
    assert load(overrides={"remote_user_header": "Remote-User", "trusted_proxies": ["::1"]}).trusted_proxies
    assert "max_date_time" in refusal(min_date_time="2000-01-01T00:00:00Z", max_date_time="2000-01-01T00:00:00Z")
    assert "sign_in_max_delay" in refusal(sign_in_delay=10, sign_in_max_delay=5)


@pytest.mark.parametrize("content", [b"port = ", b"\xff", b"port = 1\nport = 2", b"x = " + b"[" * 100_000])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    assert str(tmp_path / "a.toml") in refusal(tmp_path / "a.toml")


def test_a_named_file_must_be_readable(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "missing.toml")
    assert "cannot be read" in refusal(tmp_path)


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://koyomi:geheim@localhost/koyomi"
    made = load(overrides={"database": url})
    assert made.database.get_secret_value() == url
    assert "geheim" not in f"{made!r} {made} {made.model_dump()} {made.model_dump_json()}"
    for wrong in ("mysql://u:geheim@h/x", "geheim", "postgresql://u:geheim℀@h/x", "postgresql://[geheim"):
        monkeypatch.setenv("KOYOMI_DATABASE", wrong)
        assert "geheim" not in refusal()


def test_variables_of_kubernetes_and_of_the_tests_are_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KOYOMI_SERVICE_HOST", "KOYOMI_SERVICE_PORT", "KOYOMI_SERVICE_PORT_HTTP", "KOYOMI_PORT_5232_TCP",
                 "KOYOMI_PORT_5232_TCP_ADDR", "KOYOMI_CI", "KOYOMI_TEST_POSTGRES_BIN"):  # fmt: skip
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KOYOMI_PORT", "tcp://10.1.2.3:5232")
    assert load().port == 5232


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("", ""), ("https://example.org", ""), ("https://example.org/", ""), ("http://a:8443/k/x/", "/k/x")],
)
def test_the_path_prefix_is_that_of_the_external_url(url: str, prefix: str) -> None:
    assert load(overrides={"external_url": url}).path_prefix == prefix


def test_settings_reach_worker_processes() -> None:
    made = load(overrides={"port": 1001, "database": "postgresql://u:p@h/d", "trusted_proxies": ["::1"]})
    assert pickle.loads(pickle.dumps(made)) == made


def test_every_limit_is_an_option_with_the_same_default() -> None:
    for field in dataclasses.fields(Limits):
        assert Settings.model_fields[field.name].default == field.default
        assert option_extra(field.name, "section") == "Limits"
    made = load(overrides={field.name: field.default for field in dataclasses.fields(Limits)})
    assert made.limits == Limits()
    assert load(overrides={"max_members": 10_000}).limits == dataclasses.replace(Limits(), max_members=10_000)


def test_every_option_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description
        assert field.description.endswith(".")
        assert option_extra(name, "section")
        assert allowed_values(name)


def test_the_sample_file_and_the_reference_are_up_to_date() -> None:
    for path, text in documents().items():
        assert path.read_text() == text, f"run make docs: {path.name}"


def test_the_sample_file_changes_nothing_and_is_valid_with_every_option_set(tmp_path: Path) -> None:
    assert load(SAMPLE) == load()
    lines = [line.removeprefix("# ") for line in sample().splitlines() if line.startswith("# ") and " = " in line]
    file = tmp_path / "all.toml"
    file.write_text("\n".join(lines))
    assert set(tomllib.loads(file.read_text())) == set(Settings.model_fields)
    assert load(file) == load()


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(list(Settings.model_fields)) | st.text(), ANY, max_size=5))
def test_whatever_is_given_is_taken_or_refused(values: dict[str, object]) -> None:
    try:
        assert load(overrides=values).limits.max_members
    except ConfigurationError as error:
        error.message.encode("utf-8")
