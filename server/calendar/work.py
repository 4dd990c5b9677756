"""A bound on computation, so that no rule that someone writes can hold a processor."""

from __future__ import annotations

from server.errors import TooManyInstances

DEFAULT_WORK = 400_000
"""Steps, each some tenths of a microsecond to some microseconds."""


class Work:
    """What may still be computed; a step is one period, instance or date looked at."""

    __slots__ = ("left",)

    def __init__(self, steps: int = DEFAULT_WORK) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Count steps.

        :raises TooManyInstances: when no more are left.
        """
        self.left -= steps
        if self.left < 0:
            raise TooManyInstances
