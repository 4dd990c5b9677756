"""The result of a sign-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Method = Literal["password", "app-password", "htpasswd", "remote-user"]


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
    htpasswd_version: int = 0
    """Which reading of the htpasswd file it was verified against."""
    key: bytes = field(default=b"", repr=False)
    """Where the cache has it."""
