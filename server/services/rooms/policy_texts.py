"""Parameters of a booking policy as texts: of CSV files, and of the KEY=VALUE of commands."""

from __future__ import annotations

from server.booking.policy import RULES
from server.booking.policy_values import Flag, Number, Who
from server.domain.errors import InvalidPrincipal

POLICY = "policy."
"""The beginning of the names of columns with parameters of the policy."""
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def policy_value(name: str, text: str) -> object:
    """The JSON value of a parameter that a text says. Raises `InvalidPrincipal` for a name that is none."""
    if name not in RULES:
        raise InvalidPrincipal(f"There is no parameter {name[:100]!r} of a policy; parameters: {', '.join(RULES)}.")
    kind, folded = RULES[name].kind, text.strip().lower()
    if isinstance(kind, Flag):
        return _FLAGS.get(folded, text)
    if isinstance(kind, Number):
        if folded in ("none", "null", "unlimited"):
            return None
        return int(folded) if folded.isascii() and folded.isdecimal() and len(folded) < 20 else text
    if isinstance(kind, Who) and folded not in ("everyone", "nobody"):
        return [part.strip() for part in text.split(",") if part.strip()]
    return folded if isinstance(kind, Who) else text
