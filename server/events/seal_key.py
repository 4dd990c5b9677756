"""The key that signs the seals of the journal (Ed25519, RFC 8032). It lies in a file, outside the database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from server.domain.errors import ConfigurationError

FILE = "journal-key.pem"
"""Name of the file in the data folder, where no setting names another."""


class SealKey:
    """The key of a server."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.key_id = key_id(self.public)

    def sign(self, digest: bytes) -> bytes:
        """The signature of a digest, 64 bytes."""
        return self._private.sign(digest)


class PublicKeys:
    """The public keys that seals may be signed with."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    def matches(self, key_id: str, signature: bytes, digest: bytes) -> bool | None:
        """Whether a signature is that of the key; None: the key is not known."""
        key = self._keys.get(key_id)
        if key is None:
            return None
        try:
            key.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The beginning of SHA-256 of the public key, 16 hexadecimal digits."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def key_at(path: Path) -> SealKey:
    """The key in a file, which is made if it is missing, for its owner only.

    Raises `ConfigurationError` if the file cannot be read or written, or holds no such key.
    """
    try:
        if not path.exists():
            _make(path)
        found = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"The key of the journal in {path} cannot be used: {error}") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise ConfigurationError(f"The key of the journal in {path} is no Ed25519 key.")
    return SealKey(found)


def public_key_at(path: Path) -> Ed25519PublicKey:
    """The public key in a file (PEM). Raises `ConfigurationError`."""
    try:
        found = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"There is no public key in {path}: {error}") from error
    if not isinstance(found, Ed25519PublicKey):
        raise ConfigurationError(f"The key in {path} is no Ed25519 key.")
    return found


def _make(path: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of two processes that make it at once, one links its file first, and both use that one.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
