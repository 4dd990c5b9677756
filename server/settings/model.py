"""The settings of an installation: one model, read from a file, `KOYOMI_…` environment variables and the command line.

Every option has one name: `port` in the file, `KOYOMI_PORT` in the environment, `port=` in `load`. The command line
overrides the environment, which overrides the file. The model carries each option's description, unit and allowed
values, from which `docs/settings_reference.py` writes the sample file and the reference.
"""

from __future__ import annotations

import dataclasses
import os
import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from server.domain.limits import Limits

PREFIX = "KOYOMI_"


Network = IPv4Network | IPv6Network


_LIMITS = Limits()


def _option(
    default: object, section: str, description: str, *, unit: str = "", allowed: str = "", **constraints: Any
) -> Any:
    """An option. `allowed` describes what is allowed where type and constraints do not say it."""
    extra: dict[str, JsonValue] = {"section": section, "unit": unit, "allowed": allowed}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def _networks(value: object) -> object:
    """Networks from a list, or from text with commas between them (the environment)."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return tuple(item if isinstance(item, Network) else ip_network(str(item)) for item in value)


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseModel):
    """The settings, checked. Made by `load`; never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    # -- data ---------------------------------------------------------------------------------------------------------

    data: Path = _option(
        Path("var"),
        "Data",
        "Folder of the embedded PostgreSQL and of everything else that Koyomi keeps. Relative paths start at the "
        "working directory.",
        allowed="a path",
    )
    database: SecretStr = _option(
        SecretStr(""),
        "Data",
        "The PostgreSQL database to use instead of the embedded one (15 or newer). The URL may hold a password, and is "
        "never printed.",
        allowed="postgresql://[USER[:PASSWORD]@][HOST[:PORT]]/DATABASE, or empty for the embedded PostgreSQL",
    )
    postgres_bin: Path | None = _option(
        None,
        "Data",
        "Folder with the programs (initdb, postgres) that the embedded PostgreSQL is run from, 15 or newer. If empty, "
        "those that come with Koyomi.",
        allowed="the path of a folder, or empty",
    )
    database_pool_size: int = _option(
        10, "Data", "Connections to the database that each worker may hold.", ge=2, le=500
    )
    database_pool_timeout: float = _option(
        5.0,
        "Data",
        "How long a request waits for a free connection before it is answered with 503.",
        unit="seconds",
        gt=0,
        le=600,
    )
    database_statement_timeout: float = _option(
        10.0,
        "Data",
        "How long one statement may take before its request is answered with 503.",
        unit="seconds",
        gt=0,
        le=3600,
    )
    database_unsafe: bool = _option(
        False,
        "Data",
        "Serve even on a database whose settings let it lose acknowledged writes or be damaged by a power failure "
        "(fsync, full_page_writes or synchronous_commit off).",
    )
    page_size: int = _option(1000, "Data", "Rows that one statement reads of a long listing.", ge=10, le=10_000)
    sync_token_days: int = _option(
        180,
        "Data",
        "How long a sync token is valid at least; a client that stays away for longer synchronises anew.",
        unit="days",
        ge=90,
        le=3650,
    )
    restore_days: int = _option(30, "Data", "How long what was deleted can be restored.", unit="days", ge=0, le=3650)

    # -- network ------------------------------------------------------------------------------------------------------

    host: str = _option(
        "127.0.0.1",
        "Network",
        "Address to listen on; 0.0.0.0 or :: is every address of the machine.",
        allowed="a host name or an IP address",
        min_length=1,
    )
    port: int = _option(5232, "Network", "TCP port to listen on; 0 lets the system choose.", ge=0, le=65535)
    workers: int = _option(
        0,
        "Network",
        "Processes that serve requests; 0 is one for each core of the machine.",
        ge=0,
        le=256,
        validate_default=True,
    )
    unix_socket: Path | None = _option(
        None,
        "Network",
        "Unix socket to listen on as well, for a proxy on this machine. Its folder must exist; the group of the socket "
        "may connect, and whoever can is believed as the proxies of trusted_proxies are.",
        allowed="a path, or empty",
    )
    tls_cert: Path | None = _option(
        None,
        "Network",
        "PEM file with the certificate for TLS on host and port, and those that lead to its root. Read anew on SIGHUP. "
        "Needs tls_key.",
        allowed="the path of a file, or empty for plain HTTP",
    )
    tls_key: Path | None = _option(
        None,
        "Network",
        "PEM file with the private key of tls_cert, without a passphrase.",
        allowed="the path of a file, or empty for plain HTTP",
    )
    tls_version: Literal["1.2", "1.3"] = _option(
        "1.2", "Network", "The oldest version of TLS that clients may speak; some that are in use lack 1.3."
    )
    hsts_seconds: int = _option(
        31_536_000,
        "Network",
        "How long a browser that came by TLS is told to come by no other way (Strict-Transport-Security); 0 tells "
        "nothing.",
        unit="seconds",
        ge=0,
        le=315_360_000,
    )
    external_url: str = _option(
        "",
        "Network",
        "The address under which clients reach a server behind a proxy, with the path prefix if there is one. The "
        "proxy may leave the prefix in the path or take it off.",
        allowed="an http or https URL without query, as https://example.org/koyomi, or empty",
    )
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = _option(
        (),
        "Network",
        "Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto headers (and remote_user_header) are "
        "believed.",
        allowed='a list of networks, as ["10.0.0.0/8", "::1"] (in the environment: with commas between them)',
    )
    gzip: bool = _option(True, "Network", "Compress answers for clients that accept gzip.")
    stop_timeout: float = _option(
        30.0,
        "Network",
        "How long requests that are under way may take when the server is stopped.",
        unit="seconds",
        ge=0,
        le=3600,
    )

    # -- signing in ---------------------------------------------------------------------------------------------------

    basic_auth_insecure: bool = _option(
        False,
        "Signing in",
        "Offer Basic authentication without TLS to other machines too. Passwords then cross the network readable by "
        "others.",
    )
    htpasswd_file: Path | None = _option(
        None,
        "Signing in",
        "An htpasswd file (argon2id, SHA-256 and SHA-512 crypt; bcrypt with the package's extra htpasswd), asked after "
        "the passwords in the database. Its people must exist in Koyomi.",
        allowed="the path of a file, or empty",
    )
    remote_user_header: str = _option(
        "",
        "Signing in",
        "Header in which a trusted proxy names the person that it has signed in, such as Remote-User. Needs "
        "trusted_proxies or unix_socket.",
        allowed="the name of a header, or empty",
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$",
    )
    sign_in_delay: float = _option(
        1.0,
        "Signing in",
        "How long the next attempt must wait after failed ones: this after the third on an account from one address, "
        "and after a tenth of sign_in_failures_per_address from an address, doubling with each further one; and how "
        "long each attempt takes in the slow lane.",
        unit="seconds",
        ge=0,
        le=60,
    )
    sign_in_max_delay: float = _option(300.0, "Signing in", "The longest such wait.", unit="seconds", ge=0, le=86_400)
    sign_in_failures_per_account: int = _option(
        30,
        "Signing in",
        "Failures on one account from one address within sign_in_window after which this address is refused there "
        "until they are forgotten. Other addresses, app passwords, and credentials that worked lately go on working.",
        ge=1,
        le=1_000_000,
    )
    sign_in_slow_lane_failures: int = _option(
        100,
        "Signing in",
        "Failures on one account from all addresses together within sign_in_window after which it is in the slow lane "
        "until they are forgotten: an address that failed there is refused, attempts from others are decided one after "
        "the other, each after sign_in_delay.",
        ge=1,
        le=1_000_000,
    )
    sign_in_failures_per_address: int = _option(
        100,
        "Signing in",
        "Failures from one address (IPv6: one /64 network) within sign_in_window after which it is refused until they "
        "are forgotten.",
        ge=1,
        le=1_000_000,
    )
    sign_in_window: float = _option(
        900.0, "Signing in", "How long a failure is remembered.", unit="seconds", ge=1, le=604_800
    )
    credential_cache_size: int = _option(
        10_000,
        "Signing in",
        "Verified credentials that each worker remembers (under a keyed hash), so that the password is not hashed at "
        "every request; 0 remembers none.",
        ge=0,
        le=10_000_000,
    )
    credential_cache_seconds: float = _option(
        600.0,
        "Signing in",
        "How long it remembers them. A changed password takes effect at once all the same.",
        unit="seconds",
        ge=0,
        le=86_400,
    )

    # -- limits: what each means is said in server.limits -------------------------------------------------------------

    max_resource_size: ByteSize = _option(
        _LIMITS.max_resource_size,
        "Limits",
        "Size of one event, task, journal entry or card.",
        unit="bytes",
        ge=10_000,
        le=1 << 30,
    )
    quota_bytes: ByteSize = _option(
        _LIMITS.quota_bytes,
        "Limits",
        "Size of everything in one home (a person's calendars, or their address books) that has no quota of its own. "
        "What is kept beside, such as deleted texts, may take as much again.",
        unit="bytes",
        ge=0,
        le=1 << 50,
    )
    max_collections: int = _option(
        _LIMITS.max_collections,
        "Limits",
        "Collections in one home, inbox and outbox included.",
        ge=10,
        le=10_000,
    )
    max_members: int = _option(
        _LIMITS.max_members, "Limits", "Objects in one calendar or address book.", ge=100, le=100_000_000
    )
    max_name_length: int = _option(
        _LIMITS.max_name_length, "Limits", "Length of a name in a URL, decoded.", unit="bytes", ge=100, le=1000
    )
    max_uid_length: int = _option(
        _LIMITS.max_uid_length, "Limits", "Length of the UID of an object.", unit="bytes", ge=100, le=1000
    )
    max_attendees: int = _option(_LIMITS.max_attendees, "Limits", "Attendees of one event.", ge=10, le=1_000_000)
    max_components: int = _option(
        _LIMITS.max_components,
        "Limits",
        "Components of one object: changed instances, alarms, time zones.",
        ge=100,
        le=1_000_000,
    )
    min_date_time: datetime = _option(
        _LIMITS.min_date_time,
        "Limits",
        "Earliest date or time in a calendar object.",
        allowed="a date and time in UTC, as 1900-01-01T00:00:00Z",
    )
    max_date_time: datetime = _option(
        _LIMITS.max_date_time,
        "Limits",
        "Latest date or time in a calendar object.",
        allowed="a date and time in UTC after min_date_time, as 9999-12-31T23:59:59Z",
    )
    max_xml_size: ByteSize = _option(
        _LIMITS.max_xml_size, "Limits", "Size of the XML body of a request.", unit="bytes", ge=10_000, le=1 << 28
    )
    max_property_size: ByteSize = _option(
        _LIMITS.max_property_size,
        "Limits",
        "Size of a property that a client sets on a resource, as XML.",
        unit="bytes",
        ge=1000,
        le=1 << 26,
    )
    max_properties: int = _option(
        _LIMITS.max_properties, "Limits", "Such properties of one resource.", ge=10, le=100_000
    )
    max_multiget_hrefs: int = _option(
        _LIMITS.max_multiget_hrefs, "Limits", "Objects that one multiget may ask for.", ge=100, le=1_000_000
    )

    # -- log ----------------------------------------------------------------------------------------------------------

    log_level: Literal["debug", "info", "warning", "error"] = _option("info", "Log", "How much is logged.")
    log_format: Literal["auto", "console", "json"] = _option(
        "auto",
        "Log",
        "Lines for people (console) or one JSON object a line; auto is console on a terminal, JSON elsewhere.",
    )
    slow_request: float = _option(
        1.0,
        "Log",
        "Requests that take longer are logged as a warning, with what they cost.",
        unit="seconds",
        gt=0,
        le=3600,
    )
    access_log: bool = _option(
        False,
        "Log",
        "Log every request: who (by id) from where with what kind of client, method and report, status, bytes and "
        "what it cost. Neither paths nor contents.",
    )

    traces: bool = _option(
        False,
        "Log",
        "Send OpenTelemetry traces of requests and statements, as OTEL_EXPORTER_OTLP_ENDPOINT and other variables of "
        "OpenTelemetry say. Needs the package's extra otel.",
    )

    # -- monitoring ---------------------------------------------------------------------------------------------------

    metrics_host: str = _option(
        "127.0.0.1",
        "Monitoring",
        "Address of the port for monitoring.",
        allowed="a host name or an IP address",
        min_length=1,
    )
    metrics_port: int = _option(
        0,
        "Monitoring",
        "TCP port on which /metrics, /healthz and /readyz answer everyone, by plain HTTP; 0 is none. On the main port "
        "/metrics is for administrators who sign in.",
        ge=0,
        le=65535,
    )

    @cached_property
    def limits(self) -> Limits:
        """The limits on input, for code that knows no settings."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(Limits)}
        values |= {name: int(value) for name, value in values.items() if isinstance(value, int)}
        return Limits(**values)

    @property
    def path_prefix(self) -> str:
        """The path before every URL of ours, without a slash at its end: empty, or as `/koyomi`."""
        return urlsplit(self.external_url).path

    @field_validator("*", mode="before")
    @classmethod
    def _check_input(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what pydantic and the system's calls would take for something else."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("not a number")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a NUL character")
        if kind is datetime and not isinstance(value, datetime) and not re.match(r"\d{4}-\d\d-\d\d[T ]", str(value)):
            raise ValueError("not a date and time")  # a bare number would be seconds since 1970
        if value == "" and kind is Path:
            raise ValueError("an empty path")
        return None if value == "" and kind == Path | None else value

    @field_validator("database")
    @classmethod
    def _check_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and urlsplit(url).scheme not in {"postgresql", "postgres"}:
            raise ValueError("not the URL of a PostgreSQL database")
        return value

    @field_validator("workers")
    @classmethod
    def _count_workers(cls, value: int) -> int:
        return value or cores()

    @field_validator("external_url")
    @classmethod
    def _check_external_url(cls, value: str) -> str:
        if not value:
            return value
        url = urlsplit(value)
        plain = url.scheme in {"http", "https"} and url.hostname and not (url.query or url.fragment or url.username)
        if not plain or (url.port is not None and not url.port) or re.search(r"[\s\\]|//|/\.", url.path):
            raise ValueError("not such a URL")
        return value.rstrip("/")

    @field_validator("min_date_time", "max_date_time")
    @classmethod
    def _check_utc(cls, value: datetime) -> datetime:
        if value.utcoffset() != timedelta(0):
            raise ValueError("not in UTC")
        return value.astimezone(UTC)

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.remote_user_header and not (self.trusted_proxies or self.unix_socket):
            raise ValueError("remote_user_header needs trusted_proxies (or unix_socket): else nobody could be believed")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: both are needed for TLS")
        if self.min_date_time >= self.max_date_time:
            raise ValueError("max_date_time must be after min_date_time")
        if self.sign_in_max_delay < self.sign_in_delay:
            raise ValueError("sign_in_max_delay must not be less than sign_in_delay")
        return self
