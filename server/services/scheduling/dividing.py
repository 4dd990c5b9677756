"""The jobs that divide long series, each in the name of its owner."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from server.domain.actors import Actor
from server.domain.errors import (
    AccessDenied,
    InvalidData,
    NotFound,
    QuotaExceeded,
    SchedulingRefused,
    SignInRequired,
    SplitRefused,
    TooManyMembers,
)
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.itip.long_series import dividing_time
from server.itip.scheduling_object import read_object
from server.process.computing import computed
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.scheduling.long_series import thresholds
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.splitting import Splitting

_REFUSED = (
    AccessDenied,
    InvalidData,
    NotFound,
    QuotaExceeded,
    SchedulingRefused,
    SignInRequired,
    SplitRefused,
    TooManyMembers,
)

log = structlog.get_logger()


class LongSeries:
    """The handler of these jobs."""

    def __init__(
        self,
        splitting: Splitting,
        settings: SchedulingSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._splitting, self._storage, self._now = splitting, splitting.storage, now
        self._thresholds = thresholds(settings)
        self._lookup = Lookup(self._storage)

    async def split(self, home_id: int, object_id: int) -> bool:
        """Divide a series in the name of its owner, if it is long. Returns whether it was divided."""

        async def read() -> Found | None:
            return await self._found(home_id, object_id)

        async def decide(found: Found | None) -> bool:
            if found is None or found.object is None or found.object.role is SchedulingRole.ATTENDEE:
                return False
            text = found.object.text or ""
            time = await computed(lambda: dividing_time(read_object(text), self._now(), self._thresholds))
            if time is None or found.viewer is None:
                return False
            await self._splitting.split(Actor(found.viewer, "jobs"), found, time)
            return True

        try:
            divided = await change(read, decide)
        except _REFUSED as error:
            log.warning("series_not_divided", home=home_id, object=object_id, error=type(error).__name__)
            return False
        if divided:
            log.info("series_divided", home=home_id, object=object_id)
        return divided

    async def _found(self, home_id: int, object_id: int) -> Found | None:
        """The object as its owner finds it; None where it is gone."""
        place = await self._storage.object_place(home_id, object_id)
        if place is None:
            return None
        target = Target(place.owner.uid, "uid", "calendar", place.collection, place.name)
        known = await self._lookup.resolve(place.owner.id, target, text=True)
        if known.viewer is None or known.object is None or known.object.id != object_id:
            return None
        return await self._lookup.find(
            Actor(known.viewer, "jobs"), target, Privilege.WRITE_CONTENT, text=True, known=known
        )
