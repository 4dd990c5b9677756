"""The installation itself: settings, certificate, data folder, zone data, database."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from server.calendar import iana
from server.diagnosis.findings import Finding, ok, problem, warning
from server.diagnosis.record import look_at_seals
from server.domain.errors import KoyomiError
from server.jobs.running import CONNECTIONS, RELAY_CONNECTIONS
from server.process.supervisor import tls_files
from server.process.tls import validity
from server.settings.model import Settings
from server.storage.jobs import KindCounts
from storage_plugins.postgres.backup.durability import dangers
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.migrations import schema_state
from storage_plugins.postgres.upkeep.occurrence_jobs import zone_data

_SOON = timedelta(days=14)
_SPACE = 1 << 30
_BESIDE = 15
"""Connections to the database beside those of the workers: online steps of migrations, commands, and some for root."""
_NOTIFICATIONS = 1
"""Connections of a worker for notifications."""


def look_at_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that contradict each other."""
    subject, network = "settings", settings.network
    behind_proxy = bool(network.trusted_proxies or network.unix_socket)
    seen: list[Finding] = []
    if settings.sign_in.basic_auth_insecure:
        seen.append(
            warning(subject, "sign_in.basic_auth_insecure lets passwords cross the network readable", "use TLS")
        )
    if not (_is_local(network.host) or network.tls_cert or behind_proxy or settings.sign_in.basic_auth_insecure):
        seen.append(
            problem(
                subject,
                f"network.host is {network.host}, but without TLS nobody elsewhere can sign in",
                "set network.tls_cert and network.tls_key, or network.trusted_proxies to the network of the proxy "
                "that adds TLS",
            )
        )
    if network.external_url.startswith("https:") and not (network.tls_cert or behind_proxy):
        seen.append(
            problem(
                subject,
                "network.external_url is https, but no proxy is trusted and there is no certificate",
                "set network.trusted_proxies to the network of the proxy that adds TLS, such as 127.0.0.1/32",
            )
        )
    if network.external_url.startswith("http:") and not _is_local(network.host):
        seen.append(warning(subject, "network.external_url is http: clients refuse, or warn", "use https"))
    seen += [
        problem(
            subject,
            f"network.trusted_proxies has {proxy}: everyone may claim any address (and name)",
            "name the proxy's own address",
        )
        for proxy in network.trusted_proxies
        if proxy.prefixlen == 0
    ]
    incoming = settings.mail.incoming
    if (incoming.lmtp_listen or incoming.lmtp_socket) and not incoming.authserv_id:
        seen.append(
            warning(
                subject,
                "mail arrives by LMTP, but mail.incoming.authserv_id is empty: only mails to tagged addresses are "
                "trusted, and all invitations are held",
                "set it to the name that the mail server writes into its Authentication-Results fields (docs/mail.md)",
            )
        )
    yield from seen or [ok(subject, "make sense together")]


def look_at_certificate(settings: Settings) -> Iterator[Finding]:
    """Whether the files fit each other, and how long the certificate lasts."""
    files = tls_files(settings.network)
    if files is None:
        return
    subject = "certificate"
    try:
        files.context()
        first, last = validity(files.certificate)
    except KoyomiError as error:
        yield problem(
            subject,
            error.message,
            "name the files of a certificate and its key in network.tls_cert and network.tls_key",
        )
        return
    yield expiry(subject, first, last)


def expiry(subject: str, first: datetime | None, last: datetime) -> Finding:
    """A finding about the dates of a certificate, at this moment."""
    now = datetime.now(UTC)
    mend = "renew it, and send the server SIGHUP"
    if first is not None and first > now:
        return problem(subject, f"is not valid before {first:%Y-%m-%d %H:%M} UTC", "look at this machine's clock")
    if last <= now:
        return problem(subject, f"has expired on {last:%Y-%m-%d %H:%M} UTC", mend)
    if last - now < _SOON:
        return warning(subject, f"expires on {last:%Y-%m-%d %H:%M} UTC", mend)
    return ok(subject, f"is valid until {last:%Y-%m-%d}")


def look_at_data_folder(settings: Settings) -> Iterator[Finding]:
    """Room on the disk."""
    if settings.storage.database.get_secret_value():
        return
    place = settings.storage.data.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / (1 << 30):.1f} GiB are free for {settings.storage.data}"
    mend = "make room: without it PostgreSQL stops"
    yield ok("disk", said) if free >= _SPACE else problem("disk", said, mend)


async def look_at_database(settings: Settings, dsn: str) -> list[Finding]:
    """The database's version, tables, durability, room for connections, clock, zone data, seals, and jobs."""
    subject = "database"
    found: list[Finding] = []
    try:
        found += [
            problem(subject, said, "ALTER SYSTEM SET … = on; SELECT pg_reload_conf()") for said in await dangers(dsn)
        ]
        database = Database(dsn, application="koyomi doctor")
        await database.open()
    except KoyomiError as error:
        return [problem(subject, error.message, "look at the setting database, and whether PostgreSQL runs")]
    try:
        async with database.transaction() as connection:
            version = connection.get_server_version()
            state = await schema_state(connection)
        if state.newer:
            found.append(
                problem(subject, f"the tables are of a newer Koyomi ({', '.join(state.newer)})", "update this one")
            )
        elif not state.usable:
            found.append(warning(subject, "the tables are of an older Koyomi, or missing", "koyomi db upgrade"))
            return found
        if state.online:
            names = ", ".join(step.title for step in state.online)
            said = f"online steps of the upgrade are not done ({names}): some background work is slower"
            found.append(warning(subject, said, "a running server does them, or koyomi db upgrade"))
        row = await database.fetchrow(
            "select current_setting('server_encoding'), current_setting('max_connections')::integer, "
            "extract(epoch from clock_timestamp())"
        )
        assert row is not None
        encoding, connections, clock = row
        if encoding != "UTF8":
            found.append(problem(subject, f"its encoding is {encoding}", "make one with ENCODING 'UTF8'"))
        relay = 0 if settings.events.bus == "in-process" else RELAY_CONNECTIONS
        needed = (
            settings.network.workers * (settings.storage.pool_size + _NOTIFICATIONS + CONNECTIONS + relay) + _BESIDE
        )
        if connections < needed:
            found.append(
                warning(
                    subject,
                    f"it takes {connections} connections, and {needed} may be wanted",
                    "raise max_connections, or lower storage.pool_size or network.workers",
                )
            )
        apart = abs(time.time() - float(clock))
        if apart > 5:
            found.append(
                problem("clocks", f"this machine's and the database's differ by {apart:.0f} s", "run NTP on both")
            )
        found.append(ok(subject, f"PostgreSQL {version.major}.{version.minor}, tables of this version"))
        found += await _zones(database)
        found += await look_at_seals(settings, database)
        found += look_at_jobs(await PostgresJobs(database).counts())
    except KoyomiError as error:
        found.append(problem(subject, error.message))
    finally:
        await database.close()
    return found


async def _zones(database: Database) -> list[Finding]:
    subject, ours = "time zones", iana.version()
    data = await zone_data(database)
    if data.newest > ours:
        said = f"the database was used with {data.newest}, and here is {ours}: this server will not start"
        return [problem(subject, said, "pip install --upgrade tzdata")]
    if data.changed:
        said = f"events are from {data.stored}; {len(data.changed)} zones changed in {ours}"
        return [warning(subject, said, "the server sees to it, or koyomi db reexpand")]
    if datetime.now(UTC).year - iana.data_year() > 1:
        return [warning(subject, f"the zone data are of {ours}", "pip install --upgrade tzdata")]
    return [ok(subject, f"zone data {ours}")]


def look_at_jobs(counts: Sequence[KindCounts]) -> list[Finding]:
    """Jobs that failed or keep failing, and kinds that are held."""
    subject = "jobs"
    found: list[Finding] = []
    for each in counts:
        if each.failed or each.failing:
            said = f"of the kind {each.kind} {each.failed} have failed, and {each.failing} fail again and again"
            mend = "see koyomi jobs list and the log; then koyomi jobs retry, or drop"
            found.append(problem(subject, said, mend))
        if each.held:
            said = f"the kind {each.kind} is held; {each.queued} wait"
            found.append(warning(subject, said, f"koyomi jobs release {each.kind}"))
    return found or [ok(subject, "none has failed, and none is held")]


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
