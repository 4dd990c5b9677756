"""The page as HTML: plain, without scripts, styles or anything that is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on the page; all texts are escaped."""

    language: str
    title: str
    lines: Sequence[str]
    button: str | None = None
    """That of a form which is sent to the page's own URL; None: there is no form."""


def html(page: Page) -> bytes:
    """The page in UTF-8."""
    form = "" if page.button is None else f'<form method="post"><button type="submit">{page.button}</button></form>\n'
    lines = "".join(f"<p>{line}</p>\n" for line in page.lines)
    return (
        f'<!DOCTYPE html>\n<html lang="{page.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{page.title}</title>\n</head>\n<body>\n<main>\n<h1>{page.title}</h1>\n{lines}{form}</main>\n"
        "</body>\n</html>\n"
    ).encode()
