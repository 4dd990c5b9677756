"""Rows of members: what listings and reports read of them."""

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
"""Columns of a member row. Rows come as tuples (or what unpacks alike) in the order asked for."""


Row = Sequence[Any]
