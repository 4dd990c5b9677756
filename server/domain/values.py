"""The decorator of values that every request makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

T = TypeVar("T")

if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True, field_specifiers=(field,))
    def value(made: type[T]) -> type[T]:
        """Make a class a frozen dataclass with slots, that type checking alone keeps frozen.

        Python sets each field of a frozen dataclass by a call of `object.__setattr__`, which makes a value of twenty
        fields eight times as dear.
        """

else:
    value = dataclass(slots=True, unsafe_hash=True)
