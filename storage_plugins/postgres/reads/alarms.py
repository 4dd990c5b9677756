"""The statement that finds the objects whose alarms may ring in a window: triggers joined to the occurrences.

Nearly all alarms ring within a day of their occurrence, and most others within a month. For these, the statement reads
the occurrences in a window that is wider by a day or a month, and joins their alarms. Alarms that reach farther are
few: the statement reads them by an index of their own, and joins their occurrences. The result may contain a few more
objects, because days in the calendar of a zone are not computed here.
"""

from __future__ import annotations

from storage_plugins.postgres.reads.occurrences import stored

_REACH = "(abs(a.days::bigint) * 86400 + abs(a.seconds) + a.repeat::bigint * a.interval_seconds)"
"""Seconds from the occurrence to the farthest ring; as in the indexes `alarm_wide` and `alarm_far`."""
_DAY, _MONTH = 86400, 2678400
"""Seconds of a day and of 31 days, as in these indexes."""
_WIDER = "interval '4 days'"
"""More than a day, and the greatest error of a computed ring."""
_MUCH_WIDER = "interval '34 days'"
_SLACK = "make_interval(hours => case when c.kind <> 0 then 28 else 0 end + case when a.days <> 0 then 26 else 0 end)"
"""Floating times depend on the zone, and days are some hours longer or shorter where the offset of a zone changes."""
_FIRST = "(case when a.from_end then c.end_at else c.start_at end) + make_interval(days => a.days, secs => a.seconds)"
_MOST = 86_400_000_000
"""The longest offset in seconds that is computed; an object with a longer one is always found."""
_RINGS = (
    f"(case when {_REACH} > {_MOST} then true "
    f"else {_FIRST} - {_SLACK} < $4 "
    f"and {_FIRST} + make_interval(secs => a.repeat * a.interval_seconds) + {_SLACK} >= $3 end)"
)
_EARLIER, _LATER = f"($3::timestamptz - {_WIDER})", f"($4::timestamptz + {_WIDER})"
_REACH_INTERVAL = f"make_interval(secs => least({_REACH}, {_MOST}))"


def _ringing(viewer: str) -> str:
    """The statement for the alarms of one viewer."""
    of_occurrence = (
        f"a.home_id = $1 and a.object_id = c.object_id and a.viewer_id = {viewer} and a.component = c.component "
        "and a.at is null"
    )

    def of_occurrences(wider: str, reach: str) -> str:
        """Objects with an occurrence in a wider window that has an alarm with this reach."""
        columns = "c.object_id, c.component, c.kind, c.start_at, c.end_at"
        occurrences = stored(columns, f"($3::timestamptz - {wider})", f"($4::timestamptz + {wider})")
        return f"select c.object_id from ({occurrences}) as c join alarm a on {of_occurrence} and {reach} and {_RINGS}"  # noqa: S608

    near = of_occurrences(_WIDER, f"{_REACH} <= {_DAY}")
    within_month = of_occurrences(_MUCH_WIDER, f"{_REACH} > {_DAY} and {_REACH} <= {_MONTH}")
    # `offset 0` makes this a lookup for each alarm, whatever the statistics of the tables are.
    far = (
        "select a.object_id from alarm a cross join lateral ("  # noqa: S608 - put together from what stands here
        f"select from occurrence c where c.home_id = $1 and {of_occurrence} and {_RINGS} limit 1 offset 0) as c "
        f"where a.home_id = $1 and a.collection_id = $2 and a.viewer_id = {viewer} and a.at is null "
        f"and {_REACH} > {_MONTH}"
    )
    at = (
        "select a.object_id from alarm a where a.home_id = $1 and a.collection_id = $2 "  # noqa: S608
        f"and a.viewer_id = {viewer} and a.at < $4 "
        "and a.at + make_interval(secs => a.repeat * a.interval_seconds) >= $3"
    )
    unexpanded = (
        "select o.id from object o where o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null "  # noqa: S608
        "and (o.expanded_from is not null or o.expanded_until is not null) and exists ("
        f"select from alarm a where a.home_id = $1 and a.object_id = o.id and a.viewer_id = {viewer} and a.at is null "
        f"and (o.expanded_from > {_EARLIER} - {_REACH_INTERVAL} or o.expanded_until < {_LATER} + {_REACH_INTERVAL}))"
    )
    return " union ".join((near, within_month, far, at, unexpanded))


_WITHOUT_ALARMS = (
    "select v.object_id from object_view v join object o on o.home_id = v.home_id and o.id = v.object_id "
    "where v.home_id = $1 and v.principal_id = $5 and v.alarms_etag is distinct from v.etag and o.collection_id = $2"
)
"""Objects whose personal copy may have alarms that are not stored yet."""
RINGING = _ringing("0")
"""Of the owner's texts. Arguments: home, collection, start and end of the window."""
RINGING_IN_VIEW = f"{_ringing('$5')} union {_WITHOUT_ALARMS}"
"""Of one person's copies. Arguments: as `RINGING`, and the person."""
