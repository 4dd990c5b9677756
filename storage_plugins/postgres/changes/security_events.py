"""Acts that change nothing in a home: sign-ins, refusals, exports. They get into the journal as changes do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from server.domain.changes import Cause
from server.storage.acts import Act
from server.storage.sign_in import SignInAttempt
from storage_plugins.postgres.database import Database

_SALT = 16
_LONGEST = 1000
"""Characters of a text."""
_RECORD = """
    with noted as (
        insert into journal_text (principal_ids, salt, body)
        select array_remove(array[$2::bigint, $3::bigint], null), $7::bytea, $8::text where $8::text is not null
        returning id
    )
    insert into outbox (
        kind, subject_id, principal_id, origin, request_id, details, acting_for, trace, text_id, text_digest
    )
    values ($1, $2, $3, $4, $5, $6::jsonb, $10, nullif($11, ''), (select id from noted), $9::bytea)
"""


class PostgresActs:
    """See `server.storage.acts.Acts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, act: Act) -> None:
        """See `Acts`."""
        await record(self._database, act.kind, act.cause, subject_id=act.subject_id, details=act.details, text=act.text)


async def record(
    database: Database,
    kind: str,
    cause: Cause,
    *,
    subject_id: int | None = None,
    details: Mapping[str, Any] | None = None,
    text: str | None = None,
) -> None:
    """Record an act. `details` holds ids and codes; names, addresses and free texts go into `text`, which can be
    erased with the people whom the act concerns."""
    body = None if text is None else text.replace("\0", "")[:_LONGEST]
    salt = os.urandom(_SALT)
    digest = None if body is None else hashlib.sha256(salt + body.encode()).digest()
    said = (kind, subject_id, cause.principal_id, cause.origin, cause.request_id, details)
    await database.fetch(_RECORD, *said, salt, body, digest, cause.acting_for, cause.trace)


async def record_sign_in(database: Database, attempt: SignInAttempt) -> None:
    """Record a sign-in, or its refusal."""
    told = attempt.succeeded or attempt.method == "remote-user"
    details: dict[str, Any] = {"method": attempt.method} if told else {}
    if attempt.app_password_id is not None:
        details["app_password"] = attempt.app_password_id
    if attempt.service_token_id is not None:
        details["service_token"] = attempt.service_token_id
    # Who was refused has not acted: somebody tried to be them.
    cause = Cause(attempt.principal_id if attempt.succeeded else None, "sign-in")
    kind = "signed-in" if attempt.succeeded else "sign-in-refused"
    await record(database, kind, cause, subject_id=attempt.principal_id, details=details or None, text=attempt.address)
