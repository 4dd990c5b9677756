"""Says what is wrong with a setting and which values it takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from pydantic import ByteSize, SecretStr

from server.settings.model import PREFIX, Settings


def allowed_values(name: str) -> str:
    """What is allowed for an option, in words."""
    field = Settings.model_fields[name]
    if said := option_extra(name, "allowed"):
        return said
    if field.annotation is bool:
        return "true or false"
    if get_origin(field.annotation) is Literal:
        return _alternatives([f'"{choice}"' for choice in get_args(field.annotation)])
    bounds = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "gt", "le") if hasattr(rule, key)}
    kind = "a whole number" if field.annotation in {int, ByteSize} else "a number"
    low = f"from {_number(bounds['ge'])}" if "ge" in bounds else f"above {_number(bounds['gt'])} and"
    text = f"{kind} {low} {'up ' if 'gt' in bounds else ''}to {_number(bounds['le'])}"
    return text + (', or with a unit, as "10 MiB"' if field.annotation is ByteSize else "")


def option_extra(name: str, key: Literal["section", "unit", "allowed"]) -> str:
    """What the model says about an option beside its description."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra.get(key, "")) if isinstance(extra, dict) else ""


def explain(name: str, message: str, values: Mapping[str, object], origins: Mapping[str, str]) -> str:
    """One line about a wrong setting."""
    if not name:
        return message.removeprefix("Value error, ")
    origin = origins[name]

    def spelled(option: str) -> str:
        if origin == "environment":
            return PREFIX + option.upper()
        return "--" + option.replace("_", "-") if origin == "command line" else option

    place = f" in {origin}" if origin not in {"environment", "command line"} else ""
    if name not in Settings.model_fields:
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"; did you mean {spelled(near[0])}?" if near else ""
        return f"{spelled(name)}{place} is no setting{hint}"
    secret = Settings.model_fields[name].annotation is SecretStr
    value = "(not shown)" if secret else _shortened(repr(values[name]))
    return f"{spelled(name)}{place} is {value}; allowed: {allowed_values(name)}"


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def _number(value: float) -> str:
    return f"{value:,}" if value >= 10_000 else f"{value:g}"


def _alternatives(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
