"""What happened to members in which order, and whether what a client saw can have been so."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class History:
    """The states of one member, one after another: writers take `lock`, so their order is known."""

    states: list[str | None] = field(default_factory=lambda: [None])
    """ETags; None where there is no member."""
    answered: int = 0
    """Index of the last state whose write was answered."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def now(self) -> str | None:
        """The last state."""
        return self.states[-1]

    def add(self, etag: str | None) -> None:
        """A write was answered."""
        self.states.append(etag)
        self.answered = len(self.states) - 1


@dataclass(frozen=True, slots=True)
class Sight:
    """A client saw a member in a state, in an answer to a request before which `answered` had been answered."""

    state: str | None
    answered: int


class Sights:
    """What one client saw of the members whose histories are known."""

    def __init__(self, histories: dict[str, History]) -> None:
        self.histories = histories
        self.seen: dict[str, list[Sight]] = defaultdict(list)

    def see(self, href: str, state: str | None, answered: int = 0) -> None:
        """Note what was seen; judged later, when the writes under way have been answered too."""
        if href in self.histories:
            last = self.seen[href][-1:]
            if not last or last[0] != Sight(state, answered):
                self.seen[href].append(Sight(state, answered))

    def judge(self) -> list[str]:
        """Every sight that no order of events explains: states went back, or an answered write was not seen."""
        wrong = []
        for href, seen in self.seen.items():
            states = self.histories[href].states
            at = 0
            for sight in seen:
                least = max(at, sight.answered)
                found = next((n for n in range(least, len(states)) if states[n] == sight.state), None)
                if found is None:
                    before = [n for n in range(least) if states[n] == sight.state]
                    wrong.append(
                        f"{href}: saw {sight.state}, which is state {before} of {len(states)}, "
                        f"where it had seen {at} and {sight.answered} was answered"
                    )
                    break
                at = found
        return wrong
