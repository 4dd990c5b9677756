"""The OpenAPI 3.1 document, made from the rows of the operations and their models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic.json_schema import models_json_schema

from admin_api.models import Model, Problem
from admin_api.operations import BASE, Operation

TITLE = "Koyomi"
_PROBLEM = "application/problem+json"
_REFUSALS = {
    400: "The request cannot be understood.",
    401: "Nobody has signed in.",
    403: "The caller may not do this.",
    404: "There is no such resource, or the caller may not know of it.",
    409: "The state of the resource does not allow this.",
    412: "The resource is not in the state that If-Match names.",
    413: "The body is too large.",
    415: "The body has another media type.",
    422: "The request has values that the operation does not take.",
    428: "If-Match is missing.",
    429: "There were too many requests.",
    503: "The server cannot answer now.",
}
_Modes = Literal["validation", "serialization"]
_RATES = ("RateLimit-Policy", "RateLimit")


def refusals(operation: Operation) -> list[int]:
    """The statuses with which an operation may be refused."""
    found = {400, 401, 403, 422, 429, 503}
    if operation.parameters:
        found.add(404)
    if operation.request is not None:
        found |= {409, 413, 415}
    if operation.needs_match:
        found |= {412, 428}
    return sorted(found)


def document(operations: Sequence[Operation], prefix: str = "") -> dict[str, Any]:
    """The document. `prefix` is the path under which a proxy shows the server."""
    wanted: list[tuple[type[Model], _Modes]] = [(Problem, "serialization")]
    for each in operations:
        wanted += [(each.request, "validation")] if each.request is not None else []
        wanted += [(each.response, "serialization")] if each.response is not None else []
    unique = list(dict.fromkeys(wanted))
    names, definitions = models_json_schema(unique, ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": "1",
            "description": "Calendars, people and rooms of an organisation. Fields are only added.",
        },
        "servers": [{"url": prefix + BASE}],
        "security": [{"basic": []}, {"token": []}],
        "tags": [{"name": area} for area in dict.fromkeys(each.area for each in operations)],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "responses": {str(status): _refusal(status, said, names) for status, said in _REFUSALS.items()},
            "headers": {name: {"schema": {"type": "string"}} for name in ("ETag", *_RATES)},
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "An app password that opens the API."},
                "token": {"type": "http", "scheme": "bearer", "description": "A service token."},
            },
        },
    }


def encoded(made: dict[str, Any]) -> bytes:
    """A document as JSON."""
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _operation(row: Operation, names: Any) -> dict[str, Any]:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in (("ETag",) if row.tagged else ()) + _RATES}
    done: dict[str, Any] = {
        "description": "Done." if row.response is None else "What was asked for.",
        "headers": headers,
    }
    if row.response is not None:
        done["content"] = {"application/json": {"schema": names[row.response, "serialization"]}}
    answers: dict[str, Any] = {str(row.status): done}
    if row.tagged and row.method == "GET":
        answers["304"] = {"description": "It is as If-None-Match says."}
    answers |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in refusals(row)}
    made: dict[str, Any] = {
        "operationId": row.id,
        "tags": [row.area],
        "summary": row.summary,
        "description": f"A service token needs the scope `{row.area}:{row.access}`.",
        "parameters": [*_parameters(row)],
        "responses": answers,
    }
    if row.request is not None:
        schema = names[row.request, "validation"]
        made["requestBody"] = {"required": True, "content": {row.media_type: {"schema": schema}}}
    return made


def _parameters(row: Operation) -> Iterable[dict[str, Any]]:
    for name in row.parameters:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    schema = row.query.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, described in schema.get("properties", {}).items():
        plain = _given(described)
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": plain}
        yield parameter | ({"description": described["description"]} if "description" in described else {})
    if row.needs_match:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
            "description": "The ETag of the state that is changed.",
        }


def _given(described: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter. One that may be left out is null then, which a query cannot say."""
    choices = [each for each in described.get("anyOf", ()) if each.get("type") != "null"]
    plain = {**described, **choices[0]} if len(choices) == 1 else described
    left_out = {"title", "description", *(("anyOf", "default") if choices else ())}
    return {key: value for key, value in plain.items() if key not in left_out}


def _refusal(status: int, said: str, names: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": said,
        "content": {_PROBLEM: {"schema": names[Problem, "serialization"]}},
    }
    if status in (429, 503):
        made["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return made
