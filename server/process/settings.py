"""Settings of the processes: where they listen, TLS, and the proxies before them."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, field_validator, model_validator

from server.settings.option import Part, option

Network = IPv4Network | IPv6Network


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


class NetworkSettings(Part):
    """Network."""

    host: str = option(
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 or :: is every address of the machine.",
        allowed="a host name or an IP address",
        min_length=1,
    )
    port: int = option(5232, "TCP port to listen on; 0 lets the system choose.", ge=0, le=65535)
    workers: int = option(
        0,
        "Processes that serve requests; 0 is one for each core of the machine.",
        ge=0,
        le=256,
        validate_default=True,
    )
    unix_socket: Path | None = option(
        None,
        "Unix socket to listen on as well, for a proxy on this machine. Its folder must exist; the group of the socket "
        "may connect. Its clients are trusted as the proxies of trusted_proxies are.",
        allowed="a path, or empty",
    )
    tls_cert: Path | None = option(
        None,
        "PEM file with the certificate for TLS on host and port, and those that lead to its root. Reloaded on SIGHUP. "
        "Needs tls_key.",
        allowed="the path of a file, or empty for plain HTTP",
    )
    tls_key: Path | None = option(
        None,
        "PEM file with the private key of tls_cert, without a passphrase.",
        allowed="the path of a file, or empty for plain HTTP",
    )
    tls_version: Literal["1.2", "1.3"] = option(
        "1.2", "The oldest version of TLS that clients may speak; some that are in use lack 1.3."
    )
    hsts_seconds: int = option(
        31_536_000,
        "How long a browser that came by TLS is told to come by no other way (Strict-Transport-Security); 0 tells "
        "nothing.",
        unit="seconds",
        ge=0,
        le=315_360_000,
    )
    external_url: str = option(
        "",
        "The address under which clients reach a server behind a proxy, with the path prefix if there is one. The "
        "proxy may leave the prefix in the path or take it off.",
        allowed="an http or https URL without query, as https://example.org/koyomi, or empty",
    )
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = option(
        (),
        "Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto headers (and remote_user_header) are "
        "believed.",
        allowed='a list of networks, as ["10.0.0.0/8", "::1"] (in the environment: with commas between them)',
    )
    gzip: bool = option(True, "Compress answers for clients that accept gzip.")
    stop_timeout: float = option(
        30.0,
        "How long requests that are under way may take when the server is stopped.",
        unit="seconds",
        ge=0,
        le=3600,
    )

    @property
    def path_prefix(self) -> str:
        """The path before every URL of ours, without a slash at its end: empty, or as `/koyomi`."""
        return urlsplit(self.external_url).path

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

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("network.tls_cert and network.tls_key belong together: both are needed for TLS")
        return self
