"""The frame of the command line: every command loads, takes the shared options and tells errors in one line."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from server.cli import COMMANDS, main
from server.commands.options import with_settings
from server.domain.errors import NotFound
from server.settings.model import Settings


def commands() -> list[tuple[str, click.Command]]:
    """Every command that does something, by its words."""

    def below(words: str, command: click.Command) -> list[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            return [leaf for name, each in command.commands.items() for leaf in below(f"{words} {name}", each)]
        return [(words, command)]

    found = []
    for name, (place, _) in COMMANDS.items():
        module, attribute = place.split(":")
        found += below(name, getattr(importlib.import_module(module), attribute))
    return found


@pytest.mark.parametrize(("words", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_has_help_and_takes_the_shared_options(words: str, command: click.Command) -> None:
    result = CliRunner().invoke(main, [*words.split(), "--help"])
    assert result.exit_code == 0
    assert command.help
    if words != "version":
        assert {"config", "data", "database"} <= {parameter.name for parameter in command.params}


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = "import sys; from server.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "server.settings" not in loaded
    assert all(name in loaded for name in COMMANDS)


def test_a_wrong_setting_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", "x"])
    assert result.exit_code == 1
    assert result.output == "Error: --port is 'x'; allowed: a whole number from 0 to 65,535\n"


def test_version_names_koyomi_and_what_it_rests_on() -> None:
    result = CliRunner().invoke(main, ["version"])
    assert result.exit_code == 0
    assert result.output.startswith("koyomi ")
    assert "tzdata " in result.output


def test_options_reach_the_settings_and_the_rest_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text("[network]\nport = 1001\nhost = 'a'")

    @click.command
    @click.argument("name")
    @click.option("--port")
    @with_settings("network.port")
    async def show(settings: Settings, name: str) -> None:
        click.echo(f"{name} {settings.storage.data} {settings.network.host} {settings.network.port}")

    result = CliRunner().invoke(show, ["x", "--data", "d", "--config", "a.toml", "--port", "1002"])
    assert result.output == "x d a 1002\n"


def test_domain_errors_are_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise NotFound("There is no user called x.")

    from server.commands.version import version

    monkeypatch.setattr(version, "callback", fail)
    result = CliRunner().invoke(main, ["version"])
    assert (result.exit_code, result.output) == (1, "Error: There is no user called x.\n")
