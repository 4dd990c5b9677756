"""The table of all operations."""

from __future__ import annotations

from admin_api.areas import principals, system
from admin_api.operations import Operation

OPERATIONS: tuple[Operation, ...] = (*principals.OPERATIONS, *system.OPERATIONS)
"""In the order of the document."""
