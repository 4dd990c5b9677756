"""Settings of the maintenance: how long what was deleted or replaced is kept."""

from __future__ import annotations

from server.settings.option import Part, option


class RetentionSettings(Part):
    """Retention."""

    sync_token_days: int = option(
        180,
        "How long a sync token is valid at least; a client that stays away for longer synchronises anew.",
        unit="days",
        ge=90,
        le=3650,
    )
    restore_days: int = option(30, "How long what was deleted can be restored.", unit="days", ge=0, le=3650)
