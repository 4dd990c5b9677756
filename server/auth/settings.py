"""Settings of signing in: the sources of passwords, and the delays after failures."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from server.settings.option import Part, option


class SignInSettings(Part):
    """Signing in."""

    basic_auth_insecure: bool = option(
        False,
        "Offer Basic authentication without TLS to other machines too. Passwords then cross the network readable by "
        "others.",
    )
    htpasswd_file: Path | None = option(
        None,
        "An htpasswd file (argon2id, SHA-256 and SHA-512 crypt; bcrypt with the package's extra htpasswd), asked after "
        "the passwords in the database. Its people must exist in Koyomi.",
        allowed="the path of a file, or empty",
    )
    remote_user_header: str = option(
        "",
        "Header in which a trusted proxy names the person that it has signed in, such as Remote-User. Needs "
        "trusted_proxies or unix_socket.",
        allowed="the name of a header, or empty",
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$",
    )
    delay: float = option(
        1.0,
        "How long the next attempt must wait after failed ones: this after the third on an account from one address, "
        "and after a tenth of failures_per_address from an address, doubling with each further one; and how "
        "long each attempt takes in the slow lane.",
        unit="seconds",
        ge=0,
        le=60,
    )
    max_delay: float = option(300.0, "The longest such wait.", unit="seconds", ge=0, le=86_400)
    failures_per_account: int = option(
        30,
        "Failures on one account from one address within window after which this address is refused there "
        "until they are forgotten. Other addresses, app passwords, and credentials that worked lately go on working.",
        ge=1,
        le=1_000_000,
    )
    slow_lane_failures: int = option(
        100,
        "Failures on one account from all addresses together within window after which it is in the slow lane "
        "until they are forgotten: an address that failed there is refused, attempts from others are decided one after "
        "the other, each after delay.",
        ge=1,
        le=1_000_000,
    )
    failures_per_address: int = option(
        100,
        "Failures from one address (IPv6: one /64 network) within window after which it is refused until they "
        "are forgotten.",
        ge=1,
        le=1_000_000,
    )
    window: float = option(900.0, "How long a failure is remembered.", unit="seconds", ge=1, le=604_800)
    credential_cache_size: int = option(
        10_000,
        "Verified credentials that each worker remembers (under a keyed hash), so that the password is not hashed at "
        "every request; 0 remembers none.",
        ge=0,
        le=10_000_000,
    )
    credential_cache_seconds: float = option(
        600.0,
        "How long it remembers them. A changed password takes effect at once all the same.",
        unit="seconds",
        ge=0,
        le=86_400,
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.max_delay < self.delay:
            raise ValueError("sign_in.max_delay must not be less than sign_in.delay")
        return self
