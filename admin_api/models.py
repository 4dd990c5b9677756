"""The base of all models, and types that several of them use."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LARGEST_ID = (1 << 63) - 1


class Model(BaseModel):
    """A JSON object. Answers may get more fields in later versions, and clients pass over those they do not know."""

    model_config = ConfigDict(
        frozen=True, hide_input_in_errors=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Given(Model):
    """A JSON object or the parameters of a query, as clients send them: nothing but its fields."""

    model_config = ConfigDict(extra="forbid")


class NoQuery(Given):
    """The parameters of operations that take none."""


class PageQuery(Given):
    """The parameters of lists that come in pages."""

    cursor: Annotated[str | None, Field(max_length=2000)] = None
    """The `next` of the page before; without it, the first page."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """The most items of the page."""


class ValueProblem(Model):
    """What is wrong with a value."""

    at: str
    """Where it stands: a JSON Pointer (RFC 6901) into the body, or the name of a parameter."""
    detail: str
    """What is wrong with it."""


class Problem(Model):
    """An error (RFC 9457)."""

    type: str
    """A reference that names the kind of error."""
    title: str
    """What this kind of error is."""
    status: int
    """The status of the answer."""
    detail: str
    """What is wrong this time."""
    request_id: str
    """The id of the request, which is in the server's log, too."""
    errors: list[ValueProblem] | None = None
    """Of values that an operation does not take, what is wrong with each."""


def _plain(text: str) -> str:
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, Field(max_length=1000), AfterValidator(_plain)]
"""A line of text."""
Instant = datetime
"""A moment in UTC (RFC 3339)."""
