"""Queries and bodies of requests as models. All that is wrong with them is said at once."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import ValidationError

from admin_api.models import Model
from server.domain.errors import BadRequest, InvalidRequest

M = TypeVar("M", bound=Model)
MAX_PARAMETERS = 50
"""Of a query."""
MAX_ERRORS = 20
"""Values about which an answer says what is wrong."""


def query_of(model: type[M], target: str) -> M:
    """The query of a request target. Raises `BadRequest`, `InvalidRequest`."""
    text = target.partition("#")[0].partition("?")[2]
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:  # also of what is not UTF-8
        raise BadRequest("The query is not well-formed, or has too many parameters.") from None
    values: dict[str, Any] = {}
    for name, value in pairs:
        field = model.model_fields.get(name)
        if field is not None and _is_list(field.annotation):
            values.setdefault(name, []).append(value)
        elif name in values:
            raise InvalidRequest(((_shown(name), "This parameter may be given once."),))
        else:
            values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(_errors(error, "{}")) from None


def body_of(model: type[M], body: bytes) -> M:
    """A body. Raises `BadRequest` for what is no JSON, `InvalidRequest` for what the model does not take."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if any(each["type"] == "json_invalid" for each in error.errors(include_url=False, include_input=False)):
            raise BadRequest("The body is not JSON.") from None
        raise InvalidRequest(_errors(error, "/{}")) from None


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(map(_is_list, get_args(annotation)))
    return (get_origin(annotation) or annotation) in (list, tuple, frozenset)


def _errors(error: ValidationError, form: str) -> tuple[tuple[str, str], ...]:
    found: Mapping[str, str] = {
        form.format("/".join(_shown(str(part)) for part in each["loc"])): each["msg"].removeprefix("Value error, ")
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    }
    return tuple(list(found.items())[:MAX_ERRORS])


def _shown(name: str) -> str:
    """A name as a part of a JSON Pointer; what a client made long is cut."""
    return name[:100].replace("~", "~0").replace("/", "~1")
