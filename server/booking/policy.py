"""By which rules somebody answers invitations without being asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["none", "accept-always", "decline-always", "accept-if-free", "decline-if-busy", "automatic"]
"""What is answered:

| mode | free | busy |
| --- | --- | --- |
| none | nothing | nothing |
| accept-always | accepted | accepted |
| decline-always | declined | declined |
| accept-if-free | accepted | nothing |
| decline-if-busy | nothing | declined |
| automatic | accepted | declined |
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a person, a room or a piece of equipment."""

    mode: Mode = "none"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who invites."""

    auto_accepted: bool = False
    """Belongs to the auto-accept group: the mode is `automatic` for them."""


def mode_for(policy: Policy, who: Requester) -> Mode:
    """The mode that holds for an organizer."""
    return "automatic" if who.auto_accepted else policy.mode
