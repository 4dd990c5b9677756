"""The texts of mails by language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from server.imip.catalogue.english import ENGLISH
from server.imip.catalogue.german import GERMAN
from server.imip.catalogue.japanese import JAPANESE
from server.imip.catalogue.texts import Texts

Language = Literal["de", "en", "ja"]
CATALOGUE: Mapping[Language, Texts] = {"de": GERMAN, "en": ENGLISH, "ja": JAPANESE}
