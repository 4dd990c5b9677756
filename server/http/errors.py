"""What HTTP itself refuses."""

from __future__ import annotations

from server.domain.errors import KoyomiError


class Refused(KoyomiError):
    """A request that the protocol itself refuses, with the status that its RFC names."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message or None)
        self.status = status
