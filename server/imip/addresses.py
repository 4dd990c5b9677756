"""Mail addresses as mail servers take them (RFC 5321 §4.1.2)."""

from __future__ import annotations

import re

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(\.{_ATOM})*@(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def is_mail_address(text: str) -> bool:
    """Whether a text is a mail address in ASCII without quoted parts and comments."""
    return _ADDRESS.fullmatch(text) is not None
