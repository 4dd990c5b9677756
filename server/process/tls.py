"""TLS for the server's own port: certificate and key from files, reloaded without closing connections."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NoReturn

from server.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate and key are, and the oldest protocol that clients may speak."""

    certificate: Path
    """PEM: the server's certificate, then those that lead to a root."""
    key: Path
    """PEM, not encrypted; may be the same file."""
    least: Literal["1.2", "1.3"] = "1.2"

    def context(self) -> ssl.SSLContext:
        """The TLS context for new connections. Raises `ConfigurationError`."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_3 if self.least == "1.3" else ssl.TLSVersion.TLSv1_2
        made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        made.set_alpn_protocols(["http/1.1"])
        self.load_into(made)
        return made

    def load_into(self, context: ssl.SSLContext) -> None:
        """Use what the files hold now for connections to come. Raises `ConfigurationError`, and changes nothing then.

        Both are tried on a context that nobody uses first: a certificate without its key must not be left behind.
        """
        try:
            for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
                each.load_cert_chain(self.certificate, self.key, password=_encrypted)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"network.tls_cert ({self.certificate}) and network.tls_key ({self.key}) are no PEM certificate "
                f"and its key: {error.reason or error}"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"network.tls_cert ({self.certificate}) or network.tls_key ({self.key}) cannot be read: "
                f"{error.strerror}"
            ) from None


def validity(certificate: Path) -> tuple[datetime, datetime]:
    """From when and until when the first certificate of a PEM file is valid. Raises `ConfigurationError`."""
    try:
        text = certificate.read_text("ascii", "replace")
        _, found, rest = text.partition("-----BEGIN CERTIFICATE-----")
        block, ended, _ = rest.partition("-----END CERTIFICATE-----")
        if not (found and ended):
            raise ValueError("there is no certificate in it")
        # RFC 5280 §4.1: Certificate { TBSCertificate { [0] version, serial, algorithm, issuer, validity, …
        body = _elements(_elements(base64.b64decode(block))[0][1])[0][1]
        fields = [content for tag, content in _elements(body) if tag != 0xA0]
        first, last = (_time(tag, content) for tag, content in _elements(fields[3])[:2])
    except OSError as error:
        raise ConfigurationError(f"{certificate} cannot be read: {error.strerror}") from None
    except (ValueError, IndexError) as error:
        raise ConfigurationError(f"{certificate} is no PEM certificate: {error}") from None
    return first, last


def _elements(content: bytes) -> list[tuple[int, bytes]]:
    """The elements of a DER value: tag and content of each. Raises `ValueError`, `IndexError`."""
    found, at = [], 0
    while at < len(content):
        tag, size, at = content[at], content[at + 1], at + 2
        if size & 0x80:
            width = size & 0x7F
            size, at = int.from_bytes(content[at : at + width], "big"), at + width
        if at + size > len(content):
            raise ValueError("it is cut off")
        found.append((tag, content[at : at + size]))
        at += size
    return found


def _time(tag: int, content: bytes) -> datetime:
    """UTCTime (two digits of the year; RFC 5280 §4.1.2.5.1) or GeneralizedTime."""
    text = content.decode("ascii")
    if tag == 0x17:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _encrypted() -> NoReturn:
    raise ConfigurationError("tls_key is encrypted; Koyomi needs a key without a passphrase")
