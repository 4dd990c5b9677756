"""The area principals: people, groups, rooms and equipment, who acts for whom, app passwords and service tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from admin_api.areas import principal_models as models
from admin_api.calls import Call, Reply
from admin_api.operations import Operation
from admin_api.paging import cursor_of, text_key
from server.domain.errors import NotFound
from server.domain.masking import masked
from server.domain.principal_search import PrincipalSearch, Term
from server.domain.principals import KINDS, Principal, name_key
from server.services.lookup import Found
from server.services.principals.reading import SeenPrincipal

_MOST = 100
"""Principals that a search finds."""


def principal_model(seen: SeenPrincipal) -> models.Principal:
    """A principal as the caller may see it."""
    record, account = seen.record, None
    assert record.kind != "directory"
    if seen.sees_account:
        account = models.Account(
            roles=sorted(record.roles),
            disabled=record.disabled_at is not None,
            has_password=record.has_password,
            quota_bytes=record.quota_bytes,
            calendar=record.calendar,
            former_addresses=list(record.former_addresses),
            created_at=record.created_at,
        )
    return models.Principal(
        id=record.uid,
        kind=record.kind,
        name=record.name,
        display_name=record.display_name,
        addresses=[address if seen.sees_account else masked(address) for address in record.addresses],
        account=account,
    )


async def _me(call: Call) -> Reply:
    seen = await call.site.accounts.seen(call.actor, call.viewer.uid)
    scopes = None if call.scopes is None else sorted(call.scopes)
    return Reply(models.Myself(principal=principal_model(seen), scopes=scopes))


async def _principals(call: Call) -> Reply:
    query = call.query_as(models.PrincipalsQuery)
    kinds = KINDS if query.kind is None else (query.kind,)
    after = text_key(query.cursor)
    found = await call.site.accounts.listed(call.actor, kinds, after=after, limit=query.limit + 1)
    items = [principal_model(each) for each in found[: query.limit]]
    more = len(found) > query.limit
    return Reply(models.PrincipalPage(items=items, next=cursor_of(name_key(items[-1].name)) if more else None))


async def _principal(call: Call) -> Reply:
    return Reply(principal_model(await call.site.accounts.seen(call.actor, call.path["principal"])))


async def _search(call: Call) -> Reply:
    query = call.query_as(models.SearchQuery)
    words = query.text.split()
    kinds = KINDS if query.kind is None else (query.kind,)
    search = PrincipalSearch(tuple((Term("word", word, "starts-with"),) for word in words), kinds)
    found = await call.site.people.search(call.actor, search, _MOST) if words else []
    return Reply(_references([each.owner for each in found if each.owner is not None]))


async def _members(call: Call) -> Reply:
    found = await _found(call)
    (members,) = (await call.site.people.members_of([found])).values()
    return Reply(_references(members))


async def _groups(call: Call) -> Reply:
    found = await _found(call)
    (groups,) = (await call.site.people.groups_of([found])).values()
    return Reply(_references(groups))


async def _delegates(call: Call) -> Reply:
    found = await _found(call)
    items = [
        models.Delegate(**_fields(each.principal), rights=each.rights)
        for delegates in (await call.site.people.delegates([found])).values()
        for each in delegates
    ]
    return Reply(models.Delegates(items=items))


async def _app_passwords(call: Call) -> Reply:
    items = [
        models.AppPassword(
            name=each.name,
            opens=sorted(each.doors),
            created_at=each.created_at,
            expires_at=each.expires_at,
            last_used_at=each.last_used_at,
        )
        for each in await call.site.accounts.app_passwords(call.actor, call.path["principal"])
    ]
    return Reply(models.AppPasswords(items=items))


async def _service_tokens(call: Call) -> Reply:
    items = [
        models.ServiceToken(
            name=each.name,
            scopes=sorted(each.scopes),
            created_at=each.created_at,
            expires_at=each.expires_at,
            last_used_at=each.last_used_at,
        )
        for each in await call.site.accounts.service_tokens(call.actor, call.path["principal"])
    ]
    return Reply(models.ServiceTokens(items=items))


async def _found(call: Call) -> Found:
    found = await call.site.people.named(call.actor, call.path["principal"])
    if found.owner is None or found.owner.kind == "directory":
        raise NotFound("There is no such principal.")
    return found


def _references(principals: Sequence[Principal]) -> models.PrincipalReferences:
    return models.PrincipalReferences(items=[models.PrincipalReference(**_fields(each)) for each in principals])


def _fields(principal: Principal) -> dict[str, Any]:
    return {
        "id": principal.uid,
        "kind": principal.kind,
        "name": principal.name,
        "display_name": principal.display_name,
    }


OPERATIONS = (
    Operation(
        "getMyself",
        "GET",
        "/me",
        "principals",
        "read",
        "Say who calls, and what the credentials are limited to.",
        _me,
        models.Myself,
    ),
    Operation(
        "listPrincipals",
        "GET",
        "/principals",
        "principals",
        "read",
        "List people, groups, rooms and equipment, in order of names.",
        _principals,
        models.PrincipalPage,
        query=models.PrincipalsQuery,
    ),
    Operation(
        "searchPrincipals",
        "GET",
        "/principal-search",
        "principals",
        "read",
        f"Find principals by what somebody types; at most {_MOST}.",
        _search,
        models.PrincipalReferences,
        query=models.SearchQuery,
    ),
    Operation(
        "getPrincipal",
        "GET",
        "/principals/{principal}",
        "principals",
        "read",
        "Get a principal by its id, its name or an e-mail address.",
        _principal,
        models.Principal,
        tagged=True,
    ),
    Operation(
        "listMembers",
        "GET",
        "/principals/{principal}/members",
        "principals",
        "read",
        "List the direct members of a group.",
        _members,
        models.PrincipalReferences,
        tagged=True,
    ),
    Operation(
        "listGroups",
        "GET",
        "/principals/{principal}/groups",
        "principals",
        "read",
        "List the groups that a principal is a direct member of.",
        _groups,
        models.PrincipalReferences,
        tagged=True,
    ),
    Operation(
        "listDelegates",
        "GET",
        "/principals/{principal}/delegates",
        "principals",
        "read",
        "List those who act for a principal.",
        _delegates,
        models.Delegates,
        tagged=True,
    ),
    Operation(
        "listAppPasswords",
        "GET",
        "/principals/{principal}/app-passwords",
        "principals",
        "read",
        "List a person's app passwords, without their secrets.",
        _app_passwords,
        models.AppPasswords,
    ),
    Operation(
        "listServiceTokens",
        "GET",
        "/principals/{principal}/service-tokens",
        "principals",
        "read",
        "List the service tokens that act in a person's name, without their secrets.",
        _service_tokens,
        models.ServiceTokens,
    ),
)
