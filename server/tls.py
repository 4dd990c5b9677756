"""TLS for the server's own port: certificate and key from files, loaded anew while connections go on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from server.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate and key are, and the oldest protocol that clients may speak."""

    certificate: Path
    """PEM: the server's certificate, then those that lead to a root."""
    key: Path
    """PEM, not encrypted; may be the same file."""
    least: Literal["1.2", "1.3"] = "1.2"

    def context(self) -> ssl.SSLContext:
        """What new connections are accepted with. Raises `ConfigurationError`."""
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
                f"tls_cert ({self.certificate}) and tls_key ({self.key}) are no PEM certificate and its key: "
                f"{error.reason or error}"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"tls_cert ({self.certificate}) or tls_key ({self.key}) cannot be read: {error.strerror}"
            ) from None


def _encrypted() -> NoReturn:
    raise ConfigurationError("tls_key is encrypted; Koyomi needs a key without a passphrase")
