"""The result of a sign-in, and what HTTP needs of the part that verifies credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from server.domain.principals import Principal
from server.domain.scopes import Door
from server.http.client_address import ClientAddresses

Method = Literal["password", "app-password", "htpasswd", "remote-user", "token"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """Credentials that were right when they were verified.

    They still are if the person is there, is not disabled and has the same `credential_version`: the request's own
    statement tells (`server.domain.principals.Principal`).
    """

    principal_id: int
    credential_version: int
    app_password_id: int | None = None
    method: Method = "password"
    doors: frozenset[Door] = frozenset({"apps"})
    """What an app password or a service token opens. A password of another method opens what the connection allows."""
    scopes: frozenset[str] | None = None
    """What a service token is limited to (`server.domain.scopes`); None: not limited."""
    service_token_id: int | None = None
    htpasswd_version: int = 0
    """Which reading of the htpasswd file it was verified against."""
    key: bytes = field(default=b"", repr=False)
    """Where the cache has it."""


class Verifier(Protocol):
    """Verifies the credentials of requests."""

    @property
    def addresses(self) -> ClientAddresses:
        """Finds clients behind trusted proxies."""

    def challenge(self, headers: Mapping[str, str], peer: str | None, *, tls: bool = False) -> str | None:
        """The value of WWW-Authenticate; None where passwords are not asked for (no TLS, and not local)."""

    async def authenticate(
        self, headers: Mapping[str, str], peer: str | None, *, tls: bool = False, door: Door = "apps"
    ) -> SignIn:
        """Who sends a request.

        `peer` is the address at the other end of the connection, None for a Unix socket; `tls` whether the connection
        to that peer is encrypted; `door` what the request wants to open. Raises `SignInRequired`, `SignInDelayed`,
        `CredentialsRefused`, `Unavailable`.
        """

    def still_holds(self, sign_in: SignIn, viewer: Principal | None) -> bool:
        """Whether a sign-in holds for the principal as the database has it now."""

    def forget(self, sign_in: SignIn) -> None:
        """Verify these credentials again at their next use."""
