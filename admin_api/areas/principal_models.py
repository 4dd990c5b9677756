"""Models of the area principals."""

from __future__ import annotations

from typing import Literal

from admin_api.models import Given, Instant, Model, PageQuery, Text

Kind = Literal["individual", "group", "room", "resource"]
Door = Literal["apps", "api"]


class Account(Model):
    """What concerns the account of a principal. The person themselves and administrators see it."""

    roles: list[str]
    disabled: bool
    has_password: bool
    quota_bytes: int | None
    """Size of each home; null: the setting holds."""
    calendar: Literal["here", "elsewhere"]
    """Where the principal keeps its calendar: `elsewhere` gets invitations by mail alone."""
    former_addresses: list[str]
    created_at: Instant


class Principal(Model):
    """A person, a group, a room or a piece of equipment."""

    id: str
    """Never changes."""
    kind: Kind
    name: str
    """With which a person signs in."""
    display_name: str
    addresses: list[str]
    """E-mail addresses, the first one foremost. Masked (`jo***@example.com`) for others than the person themselves and
    administrators."""
    account: Account | None
    """Null for those who may not see it."""


class PrincipalPage(Model):
    """A page of principals, in order of names."""

    items: list[Principal]
    next: str | None
    """The cursor of the next page; null for the last one."""


class PrincipalsQuery(PageQuery):
    """The parameters of a list of principals."""

    kind: Kind | None = None
    """Only principals of this kind."""


class SearchQuery(Given):
    """The parameters of a search for principals."""

    text: Text
    """With which a word of the name, an attribute of a room, or an address begins."""
    kind: Kind | None = None
    """Only principals of this kind."""


class PrincipalReference(Model):
    """A principal that another one refers to."""

    id: str
    kind: Kind
    name: str
    display_name: str


class PrincipalReferences(Model):
    """Principals, in order of names."""

    items: list[PrincipalReference]


class Delegate(PrincipalReference):
    """A principal that acts for another one."""

    rights: Literal["read", "write"]


class Delegates(Model):
    """Those who act for a principal, in order of names."""

    items: list[Delegate]


class Myself(Model):
    """Who calls, and with what."""

    principal: Principal
    scopes: list[str] | None
    """What the service token is limited to; null: the credentials are not limited."""


class AppPassword(Model):
    """A named password for one app or device, without its secret."""

    name: str
    opens: list[Door]
    """`apps`: CalDAV and CardDAV; `api`: this API."""
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None


class AppPasswords(Model):
    """App passwords that are not revoked, oldest first."""

    items: list[AppPassword]


class ServiceToken(Model):
    """A service token, without its secret."""

    name: str
    scopes: list[str]
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None


class ServiceTokens(Model):
    """Service tokens that are not revoked, oldest first."""

    items: list[ServiceToken]
