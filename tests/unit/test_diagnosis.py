"""What `koyomi doctor` says of settings that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from server.diagnosis.installation import look_at_settings
from server.settings.model import Settings


@pytest.mark.parametrize(
    ("incoming", "found"),
    [
        ({"lmtp_listen": ["127.0.0.1:2424"]}, True),
        ({"lmtp_socket": "/run/koyomi/lmtp"}, True),
        ({"lmtp_listen": ["127.0.0.1:2424"], "authserv_id": "mx.example.org"}, False),
        ({}, False),
    ],
)
def test_mail_that_nobody_has_checked_is_noticed(incoming: dict[str, Any], found: bool) -> None:
    findings = list(look_at_settings(Settings.model_validate({"mail": {"incoming": incoming}})))
    assert [(each.level, "authserv_id" in each.said) for each in findings] == [("warning" if found else "ok", found)]
