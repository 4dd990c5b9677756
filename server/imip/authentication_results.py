"""Whether a mail is from the address in its From field, as the mail server in front has found (RFC 8601, RFC 7489).

The mail server writes an Authentication-Results field with its name (authserv-id) on top of the mail, and removes those
that senders forged. Nothing is verified here.

A domain aligns with that of From if it is the same, or one above it. A domain below that of From does not: that it is
of the same organisation can be said only by the list of public suffixes (RFC 7489 §3.2), which DMARC verifiers use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SEGMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|[^";])*+', re.DOTALL)
_PAIR = re.compile(r'([^\s;="]{1,64})\s*=\s*((?:"(?:[^"\\]|\\.)*+"|[^\s;"])++)', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SERVER = re.compile(r"[A-Za-z0-9._-]+(?=[\s;]|\Z)")
_MAX_LENGTH = 8_000
"""Characters of a field that are read."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one method."""

    method: str
    """In lower case: `dmarc`, `dkim`, `spf`."""
    value: str
    """In lower case: `pass`, `fail`, `none`, ..."""
    properties: tuple[tuple[str, str], ...]
    """Lower-case names (`header.d`, `smtp.mailfrom`) and values in lower case."""

    def all(self, name: str) -> list[str]:
        """The values of a property."""
        return [value for key, value in self.properties if key == name]


def is_authentic(fields: Sequence[str], authserv_id: str, sender: str | None) -> bool:
    """Whether a mail is from its sender, by the topmost field of our mail server.

    :param fields: the values of the Authentication-Results fields, the topmost first.
    :param authserv_id: the name that our mail server writes; empty: there is none, and nothing is believed.
    :param sender: the one address in From; None: there is none.
    """
    if not authserv_id or sender is None:
        return False
    domain = _domain(sender)
    for field in fields:
        server, results = parse(field)
        if server == authserv_id.lower():
            return any(_passes(result, domain) for result in results)
    return False


def parse(field: str) -> tuple[str, tuple[Result, ...]]:
    """The authserv-id, in lower case, and the results of a field. What cannot be read is left out.

    The authserv-id stands first, without the comments and quotes that RFC 8601 allows: a mail server that removes
    forged fields may not recognize its name among them.
    """
    found = _SERVER.match(field.lstrip())
    if found is None:
        return "", ()
    _, *rest = _segments(_without_comments(field[:_MAX_LENGTH]))
    results = [result for each in rest if (result := _result(each)) is not None]
    return found.group().lower(), tuple(results)


def _passes(result: Result, domain: str) -> bool:
    if result.value != "pass":
        return False
    match result.method:
        case "dmarc":
            return [*map(_domain, result.all("header.from"))] == [domain]
        case "dkim":
            signers = result.all("header.d") or result.all("header.i")
            return len(signers) == 1 and _aligns(_domain(signers[0]), domain)
        case "spf":
            senders = result.all("smtp.mailfrom") or result.all("smtp.envelope-from")
            return len(senders) == 1 and _aligns(_domain(senders[0]), domain)
    return False


def _aligns(domain: str, of_sender: str) -> bool:
    return bool(domain) and (of_sender == domain or ("." in domain and of_sender.endswith("." + domain)))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].strip().rstrip(".").lower()


def _without_comments(field: str) -> str:
    """A field without its comments, which may be nested and hold quotes."""
    kept: list[str] = []
    depth, quoted, position = 0, False, 0
    while position < len(field):
        character = field[position]
        if character == "\\" and (quoted or depth):
            kept.append(field[position : position + 2] if not depth else "")
            position += 2
            continue
        if character == '"' and not depth:
            quoted = not quoted
        if not quoted and character == "(":
            depth += 1
        elif not quoted and character == ")" and depth:
            depth -= 1
            kept.append(" ")
        elif not depth:
            kept.append(character)
        position += 1
    return "".join(kept)


def _segments(field: str) -> list[str]:
    """What stands between semicolons that are in no quotes. An open quote ends the field."""
    pieces: list[str] = []
    position = 0
    while True:
        found = _SEGMENT.match(field, position)
        assert found is not None  # it may be empty
        pieces.append(found.group())
        position = found.end() + 1
        if not field.startswith(";", found.end()):
            return pieces


def _result(segment: str) -> Result | None:
    """The result that a segment says; None for `none`, and where it cannot be read."""
    pairs = [(name.lower(), _unquoted(written).lower()) for name, written in _PAIR.findall(segment)]
    if not pairs:
        return None
    method, value = pairs[0]
    return Result(method.partition("/")[0], value, tuple(pairs[1:]))


def _unquoted(written: str) -> str:
    return _QUOTED.sub(lambda found: _ESCAPE.sub(r"\1", found[1]), written)
