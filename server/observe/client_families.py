"""The family of clients in a User-Agent: few values, for metrics and logs."""

from __future__ import annotations

from functools import lru_cache

_FAMILIES = (
    # The first match counts: DAVx5 also names its HTTP library, and browsers name each other.
    ("davx5", "davx5"),
    ("caldavsynchronizer", "outlook"),
    ("outlook", "outlook"),
    ("thunderbird", "thunderbird"),
    ("evolution", "evolution"),
    ("ios/", "ios"),
    ("ipados/", "ios"),
    ("watchos/", "ios"),
    ("macos/", "macos"),
    ("mac+os+x/", "macos"),
    ("mac os x/", "macos"),
    ("calendaragent", "macos"),
    ("addressbooksourcesync", "macos"),
    ("dataaccessd", "ios"),
    ("accountsd", "ios"),
    ("remindd", "ios"),
    ("akonadi", "kde"),
    ("kio/", "kde"),
    ("vdirsyncer", "vdirsyncer"),
    ("pimsync", "vdirsyncer"),
    ("python-caldav", "python-caldav"),
    ("caldav-tester", "caldav-tester"),
    ("icsx", "icsx5"),
    ("opentasks", "opentasks"),
    ("tasks.org", "tasks"),
    ("business calendar", "android"),
    ("emclient", "emclient"),
    ("curl/", "curl"),
    ("prometheus", "prometheus"),
    ("mozilla/", "browser"),
)
OTHER, NONE = "other", "none"
_LOOKED_AT = 400
"""Characters of a User-Agent."""


def family(user_agent: str) -> str:
    """The family of a client; `other` for an unknown one, `none` without User-Agent."""
    return _family(user_agent[:_LOOKED_AT])


@lru_cache(1024)
def _family(user_agent: str) -> str:
    folded = user_agent.lower()
    if not folded.strip():
        return NONE
    return next((name for sign, name in _FAMILIES if sign in folded), OTHER)
