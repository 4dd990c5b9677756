"""The crypt schemes `$5$` and `$6$` (SHA-256 and SHA-512; Ulrich Drepper's specification of 2008)."""

from __future__ import annotations

import hashlib
import hmac
import re

_HASH = re.compile(r"\$(?P<id>[56])\$(?:rounds=(?P<rounds>[0-9]{1,9})\$)?(?P<salt>[^$]{0,16})\$(?P<sum>[./0-9A-Za-z]+)")
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 5000
_MIN_ROUNDS = 1000
MAX_ROUNDS = 1_000_000
"""The most rounds that are computed; more would take seconds."""


def understands(stored: str) -> bool:
    """Whether a text is a hash of these schemes that can be verified."""
    match = _HASH.fullmatch(stored)
    return match is not None and int(match["rounds"] or _ROUNDS) <= MAX_ROUNDS


def verify(stored: str, password: bytes) -> bool:
    """Whether a password matches a hash that `understands` accepts."""
    match = _HASH.fullmatch(stored)
    if match is None:
        return False
    algorithm = "sha256" if match["id"] == "5" else "sha512"
    rounds = max(int(match["rounds"] or _ROUNDS), _MIN_ROUNDS)
    return hmac.compare_digest(_encode(_digest(algorithm, password, match["salt"].encode(), rounds)), match["sum"])


def _repeat(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _digest(algorithm: str, password: bytes, salt: bytes, rounds: int) -> bytes:
    def digest_of(data: bytes) -> bytes:
        return hashlib.new(algorithm, data, usedforsecurity=True).digest()

    alternate = digest_of(password + salt + password)
    mixed = password + salt + _repeat(alternate, len(password))
    bits = len(password)
    while bits:
        mixed += alternate if bits & 1 else password
        bits >>= 1
    current = digest_of(mixed)
    passwords = _repeat(digest_of(password * len(password)), len(password))
    salts = _repeat(digest_of(salt * (16 + current[0])), len(salt))
    for number in range(rounds):
        data = passwords if number & 1 else current
        if number % 3:
            data += salts
        if number % 7:
            data += passwords
        data += current if number & 1 else passwords
        current = digest_of(data)
    return current


def _encode(digest: bytes) -> str:
    """The digest in the schemes' order of bytes, three to a group, each group from its low bits."""
    third = len(digest) // 3
    groups = []
    for number in range(third):
        places = (number, number + third, number + 2 * third)
        turn = number % 3 if len(digest) == 64 else -number % 3
        groups.append(places[turn:] + places[:turn])
    text = ""
    for high, middle, low in groups:
        text += _letters(digest[high] << 16 | digest[middle] << 8 | digest[low], 4)
    if len(digest) == 64:
        return text + _letters(digest[63], 2)
    return text + _letters(digest[31] << 8 | digest[30], 3)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> (6 * place) & 63] for place in range(count))
