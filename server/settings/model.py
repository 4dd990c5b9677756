"""The settings of an installation: one small model for each part of Koyomi, which lies beside that part's code.

An option `port` of the part `network` is `port` in the table `[network]` of the settings file, `KOYOMI_NETWORK_PORT` in
the environment, and `network.port` in messages and in `load`. A part in a part is a table of its own: `lmtp_socket` in
`[mail.incoming]` is `mail.incoming.lmtp_socket`. The command line overrides the environment, which overrides the file.
The models carry each option's description, unit and allowed values, from which `docs/settings_reference.py` writes the
sample file and the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from admin_api.settings import ApiSettings
from server.auth.settings import SignInSettings
from server.events.bus_settings import EventSettings
from server.events.settings import JournalSettings
from server.http.settings import OutgoingSettings
from server.jobs.settings import RetentionSettings
from server.observe.settings import LogSettings, MonitoringSettings
from server.process.settings import NetworkSettings
from server.services.mail.settings import MailSettings
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.settings import SchedulingSettings
from server.settings.limits import LimitSettings
from server.settings.option import Part
from server.storage.settings import StorageSettings

PREFIX = "KOYOMI_"


class Settings(BaseModel):
    """The settings, checked. Made by `load`; never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    storage: StorageSettings = StorageSettings()
    network: NetworkSettings = NetworkSettings()
    sign_in: SignInSettings = SignInSettings()
    limits: LimitSettings = LimitSettings()
    scheduling: SchedulingSettings = SchedulingSettings()
    rooms: RoomSettings = RoomSettings()
    mail: MailSettings = MailSettings()
    outgoing: OutgoingSettings = OutgoingSettings()
    retention: RetentionSettings = RetentionSettings()
    journal: JournalSettings = JournalSettings()
    events: EventSettings = EventSettings()
    log: LogSettings = LogSettings()
    api: ApiSettings = ApiSettings()
    monitoring: MonitoringSettings = MonitoringSettings()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.sign_in.remote_user_header and not (self.network.trusted_proxies or self.network.unix_socket):
            raise ValueError(
                "sign_in.remote_user_header needs network.trusted_proxies (or network.unix_socket): "
                "else nobody could be believed"
            )
        if self.mail.smtp_host and not self.network.external_url:
            raise ValueError(
                "mail.smtp_host needs network.external_url: a copy of this installation under another address must not "
                "send the same mails"
            )
        return self


@cache
def parts() -> dict[str, type[Part]]:
    """The model of each part, by the part's name: `mail`, and `mail.incoming` for the part `incoming` of it."""
    found: dict[str, type[Part]] = {}
    for name, model in _parts_in(Settings):
        found[name] = model
        found |= {f"{name}.{inner}": part for inner, part in _parts_in(model)}
    return found


@cache
def options() -> dict[str, FieldInfo]:
    """All options by name, as `network.port`, in the order of the reference."""
    return {
        f"{part}.{name}": field
        for part, model in parts().items()
        for name, field in model.model_fields.items()
        if f"{part}.{name}" not in parts()
    }


def _parts_in(model: type[BaseModel]) -> Iterator[tuple[str, type[Part]]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part):
            yield name, field.annotation
