"""Says what is wrong with a setting and which values it takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from pydantic import ByteSize, SecretStr

from server.settings.model import PREFIX, options, parts


def allowed_values(name: str) -> str:
    """What is allowed for an option, in words."""
    field = options()[name]
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


def option_extra(name: str, key: Literal["unit", "allowed"]) -> str:
    """What the model says about an option beside its description."""
    extra = options()[name].json_schema_extra
    return str(extra.get(key, "")) if isinstance(extra, dict) else ""


def variable(name: str) -> str:
    """The environment variable of an option: `KOYOMI_NETWORK_PORT` of `network.port`."""
    return PREFIX + name.replace(".", "_").upper()


def explain(name: str, message: str, values: Mapping[str, object], origins: Mapping[str, str]) -> str:
    """One line about a wrong setting. `name` is an option, a part, or what was taken for one; empty for no single one.

    `values` and `origins` have what was given, by name.
    """
    if name not in origins:
        return message.removeprefix("Value error, ")
    origin = origins[name]

    def spelled(option: str) -> str:
        if origin == "environment":
            return variable(option)
        return "--" + option.rpartition(".")[2].replace("_", "-") if origin == "command line" else option

    place = f" in {origin}" if origin not in {"environment", "command line"} else ""
    if name in parts():
        return f"{name}{place} is {_shortened(repr(values[name]))}; allowed: a table"
    if name not in options():
        near = _nearest(name)
        hint = f"; did you mean {' or '.join(map(spelled, near))}?" if near else ""
        return f"{spelled(name)}{place} is no setting{hint}"
    secret = options()[name].annotation is SecretStr
    value = "(not shown)" if secret else _shortened(repr(values[name]))
    return f"{spelled(name)}{place} is {value}; allowed: {allowed_values(name)}"


def _nearest(name: str) -> list[str]:
    """The options (or the part) that were perhaps meant: written alike, without their part if `name` has none."""
    known = [*options()] if "." in name else [*(option.rpartition(".")[2] for option in options()), *parts()]
    near = difflib.get_close_matches(name, known, n=1)
    return [each for each in (*options(), *parts()) if near and near[0] in {each, each.rpartition(".")[2]}]


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def _number(value: float) -> str:
    return f"{value:,}" if value >= 10_000 else f"{value:g}"


def _alternatives(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
