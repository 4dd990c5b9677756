"""An option of a part's settings: its default, its description, and what the settings reference says about it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator

_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]")


def option(default: object, description: str, *, unit: str = "", allowed: str = "", **constraints: Any) -> Any:
    """An option. `allowed` describes what is allowed where type and constraints do not say it."""
    extra: dict[str, JsonValue] = {"unit": unit, "allowed": allowed}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


class Part(BaseModel):
    """The settings of one part of Koyomi: a table of the settings file. The docstring's first line is its title."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_input(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what pydantic and the system's calls would take for something else."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("not a number")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a NUL character")
        if kind is datetime and not isinstance(value, datetime) and not _DATE.match(str(value)):
            raise ValueError("not a date and time")  # a bare number would be seconds since 1970
        if value == "" and kind is Path:
            raise ValueError("an empty path")
        return None if value == "" and kind == Path | None else value
