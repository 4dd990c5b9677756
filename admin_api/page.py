"""The page about the API, made from its document: plain HTML that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
code { font: 14px ui-monospace, monospace }
.method { display: inline-block; min-width: 4.5rem; font-weight: bold }
summary { cursor: pointer; padding: .3rem 0 }
details { border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .5rem 0 1rem }
td, th { border: 1px solid #ddd; padding: .2rem .5rem; text-align: left; vertical-align: top }
@media (prefers-color-scheme: dark) {
  body { background: #111; color: #ddd }
  td, th, details { border-color: #444 }
  a { color: #8bf }
}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
"""Headers of the page."""


def html(document: dict[str, Any]) -> bytes:
    """The page in UTF-8."""
    title = f"{escape(document['info']['title'])}: JSON API"
    server = document["servers"][0]["url"]
    body = "\n".join(_areas(document))
    models = "\n".join(_model(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"<p>{escape(document['info']['description'])} All paths begin with <code>{escape(server)}</code>. "
        f'The document for programs is <a href="{escape(server)}/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>\n'
        "<p>Sign in with an app password that opens the API (Basic), or with a service token (Bearer).</p>\n"
        f"{body}\n<h2>Objects</h2>\n{models}\n</main>\n</body>\n</html>\n"
    ).encode()


def _areas(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        for path, methods in document["paths"].items():
            for method, row in methods.items():
                if tag["name"] in row["tags"]:
                    yield _operation(method, path, row)


def _operation(method: str, path: str, row: dict[str, Any]) -> str:
    body = row.get("requestBody", {}).get("content", {})
    takes = "".join(f"<p>Body: {_type(each['schema'])} as <code>{kind}</code></p>\n" for kind, each in body.items())
    gives = next(iter(row["responses"].items()))
    shown = [_type(each["schema"]) for each in gives[1].get("content", {}).values()]
    rows = [
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td><td>{_type(each['schema'])}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>\n"
        for each in row["parameters"]
    ]
    parameters = f"<table>\n{''.join(rows)}</table>\n" if rows else ""
    return (
        f'<details id="{row["operationId"]}"><summary><span class="method">{method.upper()}</span> '
        f"<code>{escape(path)}</code> {escape(row['summary'])}</summary>\n"
        f"<p>{escape(row['description'].replace('`', ''))}</p>\n{parameters}{takes}"
        f"<p>Answer: {gives[0]} {' '.join(shown)}</p>\n</details>"
    )


def _model(name: str, schema: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(each)}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>\n"
        for field, each in schema.get("properties", {}).items()
    ]
    return (
        f'<details id="model-{escape(name)}"><summary>{escape(name)}</summary>\n'
        f"<p>{escape(schema.get('description', ''))}</p>\n<table>\n{''.join(rows)}</table>\n</details>"
    )


def _type(schema: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#model-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("format") or schema.get("type") or schema.get("const", "value")))
