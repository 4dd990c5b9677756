"""Rows of members, for listings and reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

MemberColumn = Literal[
    "name",
    "id",
    "uid",
    "component",
    "etag",
    "schedule_tag",
    "size",
    "revision",
    "deleted_revision",
    "created_at",
    "modified_at",
    "properties",
    "scheduling",
    "organizer",
    "text",
]
"""Columns of a member row. A row is a sequence of the requested columns, in their order."""


Row = Sequence[Any]
