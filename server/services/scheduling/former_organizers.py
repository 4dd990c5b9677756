"""Who organized a meeting before it was handed over: answers by mail that go to them reach who organizes it now.

People elsewhere answer the mail that they have: to its tagged address, which names the home of the former organizer, or
to the former organizer's own address. Both may be gone. So the new organizer's home knows that home by its id, and the
addresses by digests under the secret of the installation: they name nobody, and stay when the person is erased.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from server.calendar.attendance import address_key
from server.domain.values import value


@value
class FormerOrganizers:
    """Who organized a meeting before."""

    homes: tuple[int, ...] = ()
    """The ids of their homes, ascending."""
    addresses: tuple[str, ...] = ()
    """`address_digest` of their addresses, in order."""

    def __or__(self, other: FormerOrganizers) -> FormerOrganizers:
        homes, digests = {*self.homes, *other.homes}, {*self.addresses, *other.addresses}
        return FormerOrganizers(tuple(sorted(homes)), tuple(sorted(digests)))


NOBODY = FormerOrganizers()


def former_organizers(home_id: int, addresses: Iterable[str], secret: bytes) -> FormerOrganizers:
    """Somebody who hands a meeting over.

    :param addresses: all of their calendar user addresses.
    """
    return NOBODY | FormerOrganizers((home_id,), tuple(address_digest(each, secret) for each in addresses))


def address_digest(address: str, secret: bytes) -> str:
    """A calendar user address as the homes of new organizers know it."""
    return hmac.digest(secret, f"former organizer\n{address_key(address)}".encode(), "sha256")[:16].hex()
