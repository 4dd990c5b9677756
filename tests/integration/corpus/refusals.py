"""The reviewed list of refusals: `refusals.txt`."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

LIST = Path(__file__).with_name("refusals.txt")


@dataclass(slots=True)
class Refusals:
    """What may be refused, each with a part of the message that must be in it."""

    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages whose files were reviewed."""
    reasons: set[str] = field(default_factory=set)
    """Parts of messages that an RFC is given for."""
    places: dict[str, str] = field(default_factory=dict)
    """Part of the message by file and line."""

    def mistakes(self, corpus: str, refused: dict[str, str]) -> list[str]:
        """How refusals of a corpus, messages by file and line, differ from the list.

        In another version of a package than the reviewed one, files may be others; the reasons may not.
        """
        if corpus in self.versions and version(corpus) != self.versions[corpus]:
            return [
                f"no reason for: {place}: {message}"
                for place, message in refused.items()
                if not any(reason in message for reason in self.reasons)
            ]
        listed = {place: reason for place, reason in self.places.items() if place.startswith(f"{corpus}/")}
        return [
            *(f"stale: {place}: {reason}" for place, reason in listed.items() if place not in refused),
            *(
                f"not listed: {place}: {message}"
                for place, message in refused.items()
                if place not in listed or listed[place] not in message
            ),
        ]


def read_refusals() -> Refusals:
    """The list: `version PACKAGE VERSION`; `# RFC ...` in front of `[part of a message]`, then a place a line."""
    found = Refusals()
    reason = rfc = ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("version "):
            _, package, number = line.split()
            found.versions[package] = number
        elif line.startswith("# "):
            rfc = line
        elif line.startswith("["):
            assert rfc.startswith("# RFC "), line
            reason = line[1:-1]
            found.reasons.add(reason)
        elif line:
            assert line not in found.places, line
            found.places[line] = reason
    return found
