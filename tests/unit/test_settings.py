"""Settings: sources, refusals and what their messages tell."""

import dataclasses
import os
import pickle
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docs.settings_reference import SAMPLE, documents, sample, title
from server.domain.errors import ConfigurationError
from server.domain.limits import Limits
from server.process.settings import cores
from server.settings.explain import allowed_values, variable
from server.settings.load import _by_option, load
from server.settings.model import options, parts


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("KOYOMI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(file: Path | None = None, overrides: Mapping[str, object] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(file, overrides)
    return caught.value.message


def test_defaults_need_nothing() -> None:
    made = load()
    assert (made.network.host, made.network.port, made.storage.data) == ("127.0.0.1", 5232, Path("var"))
    assert made.network.workers == cores() >= 1
    assert made.limits.values == Limits()


def test_the_command_line_overrides_the_environment_which_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.toml").write_text('[network]\nport = 1001\nhost = "::1"\nworkers = 3\n')
    monkeypatch.setenv("KOYOMI_NETWORK_PORT", "1002")
    monkeypatch.setenv("KOYOMI_NETWORK_HOST", "0.0.0.0")
    made = load(tmp_path / "a.toml", {"network.port": 1003, "network.workers": None})
    assert (made.network.port, made.network.host, made.network.workers) == (1003, "0.0.0.0", 3)


def test_the_file_is_found_by_variable_and_by_its_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/koyomi.toml").write_text("[network]\nport = 1001")
    (tmp_path / "other.toml").write_text("network.port = 1002")
    assert load().network.port == 1001
    monkeypatch.setenv("KOYOMI_CONFIG", "other.toml")
    assert load().network.port == 1002
    assert load(Path("config/koyomi.toml")).network.port == 1001


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("network.trusted_proxies", "10.0.0.0/8, ::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
        ("network.trusted_proxies", "", ()),
        ("network.gzip", "false", False),
        ("limits.quota_bytes", "10 MiB", 10 << 20),
        ("limits.quota_bytes", "104857600", 104857600),
        ("limits.min_date_time", "1604-01-01T00:00:00Z", datetime(1604, 1, 1, tzinfo=UTC)),
        ("network.external_url", "https://example.org/koyomi/", "https://example.org/koyomi"),
        ("storage.postgres_bin", "", None),
        ("log.format", "json", "json"),
        ("mail.incoming.domains", "example.org, Example.net", ("example.org", "example.net")),
        ("mail.incoming.lmtp_clients", "10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
    ],
)
def test_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(variable(name), text)
    assert attrgetter(name)(load()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("network.port", "abc"),
        ("network.port", "65536"),
        ("network.port", "-1"),
        ("network.port", ""),
        ("network.workers", "1.5"),
        ("network.workers", "9" * 5000),
        ("storage.database", "mysql://u:geheim@h/x"),
        ("storage.data", ""),
        ("log.slow_request", "nan"),
        ("log.slow_request", "inf"),
        ("log.slow_request", "0"),
        ("network.gzip", "perhaps"),
        ("log.level", "loud"),
        ("network.host", ""),
        ("network.trusted_proxies", "10.0.0.1/8"),
        ("network.trusted_proxies", "example.org"),
        ("network.external_url", "example.org"),
        ("network.external_url", "https://example.org/?x=1"),
        ("network.external_url", "https://u:p@example.org/"),
        ("network.external_url", "https://example.org:99999/"),
        ("network.external_url", "http://[x"),
        ("network.external_url", "https://example.org/a//b"),
        ("sign_in.remote_user_header", "Remote User"),
        ("limits.quota_bytes", "5 XB"),
        ("limits.quota_bytes", "-1"),
        ("limits.min_date_time", "1900"),
        ("limits.min_date_time", "1900-01-01T00:00:00"),
        ("limits.min_date_time", "1900-01-01T00:00:00+01:00"),
        ("retention.sync_token_days", "30"),
    ],
)
def test_a_wrong_setting_is_refused_with_name_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(variable(name), text)
    message = refusal()
    shown = "(not shown)" if name == "storage.database" else repr(text)[:190]
    assert message.startswith(f"{variable(name)} is {shown}")
    assert message.endswith(f"; allowed: {allowed_values(name)}")
    assert len(message) < 500
    assert "\n" not in message


def test_all_wrong_settings_are_told_at_once_each_with_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("worker = 2\nprot = 5\nlog = 5\n[network]\nport = 70000\ngzip = 5\n[netwrok]\nhost = 'x'\n")
    monkeypatch.setenv("KOYOMI_STORAGE_PAGE_SIZE", "0")
    monkeypatch.setenv("KOYOMI_PORT", "1")
    monkeypatch.setenv("KOYOMI_NETWORK_PROT", "1")
    assert set(refusal(file, {"network.stop_timeout": -1}).split("\n")) == {
        f"network.port in {file} is 70000; allowed: a whole number from 0 to 65,535",
        f"network.gzip in {file} is 5; allowed: true or false",
        f"worker in {file} is no setting; did you mean network.workers?",
        f"prot in {file} is no setting; did you mean network.port or monitoring.port?",
        f"log in {file} is 5; allowed: a table",
        f"netwrok in {file} is no setting; did you mean network?",
        "KOYOMI_STORAGE_PAGE_SIZE is '0'; allowed: a whole number from 10 to 10,000",
        "KOYOMI_PORT is no setting; did you mean KOYOMI_NETWORK_PORT or KOYOMI_MONITORING_PORT?",
        "KOYOMI_NETWORK_PROT is no setting; did you mean KOYOMI_NETWORK_PORT?",
        "--stop-timeout is -1; allowed: a number from 0 to 3600",
    }


def test_values_of_another_type_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    for line in ("network.port = true", "network.host = 5", "storage.data = 5", 'storage.data = "a\\u0000b"',
                 'network.trusted_proxies = {a = "b"}', "network.workers = []", "limits.min_date_time = 1900-01-01",
                 "storage.database = 5", "network = 5", "network = [1]"):  # fmt: skip
        file.write_text(line)
        assert refusal(file).startswith(f"{line.split()[0]} in {file} is ")


def test_settings_that_do_not_go_together() -> None:
    header = {"sign_in.remote_user_header": "Remote-User"}
    assert "network.trusted_proxies" in refusal(overrides=header)
    assert load(overrides={**header, "network.trusted_proxies": ["::1"]}).network.trusted_proxies
    same = dict.fromkeys(("limits.min_date_time", "limits.max_date_time"), "2000-01-01T00:00:00Z")
    assert "limits.max_date_time" in refusal(overrides=same)
    assert "sign_in.max_delay" in refusal(overrides={"sign_in.delay": 10, "sign_in.max_delay": 5})


@pytest.mark.parametrize("content", [b"port = ", b"\xff", b"port = 1\nport = 2", b"x = " + b"[" * 100_000])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    assert str(tmp_path / "a.toml") in refusal(tmp_path / "a.toml")


def test_a_named_file_must_be_readable(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "missing.toml")
    assert "cannot be read" in refusal(tmp_path)


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://koyomi:geheim@localhost/koyomi"
    made = load(overrides={"storage.database": url})
    assert made.storage.database.get_secret_value() == url
    assert "geheim" not in f"{made!r} {made} {made.model_dump()} {made.model_dump_json()}"
    for wrong in ("mysql://u:geheim@h/x", "geheim", "postgresql://u:geheim℀@h/x", "postgresql://[geheim"):
        monkeypatch.setenv("KOYOMI_STORAGE_DATABASE", wrong)
        assert "geheim" not in refusal()


def test_variables_of_kubernetes_and_of_the_tests_are_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KOYOMI_SERVICE_HOST", "KOYOMI_SERVICE_PORT", "KOYOMI_SERVICE_PORT_HTTP", "KOYOMI_PORT_5232_TCP",
                 "KOYOMI_PORT_5232_TCP_ADDR", "KOYOMI_CI", "KOYOMI_TEST_POSTGRES_BIN"):  # fmt: skip
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KOYOMI_PORT", "tcp://10.1.2.3:5232")
    monkeypatch.setenv("KOYOMI_NETWORK_PORT", "tcp://10.1.2.3:5232")
    assert load().network.port == 5232


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("", ""), ("https://example.org", ""), ("https://example.org/", ""), ("http://a:8443/k/x/", "/k/x")],
)
def test_the_path_prefix_is_that_of_the_external_url(url: str, prefix: str) -> None:
    assert load(overrides={"network.external_url": url}).network.path_prefix == prefix


def test_settings_reach_worker_processes() -> None:
    made = load(
        overrides={
            "network.port": 1001,
            "storage.database": "postgresql://u:p@h/d",
            "network.trusted_proxies": ["::1"],
        }
    )
    assert pickle.loads(pickle.dumps(made)) == made


def test_every_limit_is_an_option_with_the_same_default() -> None:
    for field in dataclasses.fields(Limits):
        assert options()[f"limits.{field.name}"].default == field.default
    made = load(overrides={f"limits.{field.name}": field.default for field in dataclasses.fields(Limits)})
    assert made.limits.values == Limits()
    changed = load(overrides={"limits.max_members": 10_000})
    assert changed.limits.values == dataclasses.replace(Limits(), max_members=10_000)


def test_every_option_is_described() -> None:
    for name, field in options().items():
        assert field.description
        assert field.description.endswith(".")
        assert allowed_values(name)
    for part in parts():
        assert title(part)


def test_no_two_options_have_one_variable() -> None:
    assert len({variable(name) for name in options()}) == len(options())
    assert not [name for name in parts() for other in parts() if other != name and other.startswith(f"{name}_")]


def test_the_sample_file_and_the_reference_are_up_to_date() -> None:
    for path, text in documents().items():
        assert path.read_text() == text, f"run make docs: {path.name}"


def test_the_sample_file_changes_nothing_and_is_valid_with_every_option_set(tmp_path: Path) -> None:
    assert load(SAMPLE) == load()
    lines = [line.removeprefix("# ") for line in sample().splitlines() if re.match(r"# \w+ = |\[", line)]
    file = tmp_path / "all.toml"
    file.write_text("\n".join(lines))
    tables = tomllib.loads(file.read_text())
    assert set(_by_option(tables)) == set(options())
    assert load(file) == load()


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*options(), *parts()]) | st.text(), ANY, max_size=5))
def test_whatever_is_given_is_taken_or_refused(values: dict[str, object]) -> None:
    try:
        assert load(overrides=values).limits.values.max_members
    except ConfigurationError as error:
        error.message.encode("utf-8")
