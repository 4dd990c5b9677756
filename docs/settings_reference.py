"""Writes the settings reference from the model: config/koyomi.toml and the table in docs/operations.md.

python docs/settings_reference.py            writes both
python docs/settings_reference.py --check    fails when one is not as it would be written
"""

from __future__ import annotations

import json
import sys
import textwrap
from datetime import datetime
from pathlib import Path

from pydantic import ByteSize, SecretStr

from server.settings.explain import allowed_values, option_extra
from server.settings.model import options, parts

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "config" / "koyomi.toml"
REFERENCE = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- settings: written by make docs -->\n", "<!-- end of settings -->\n"

HEAD = """\
# Settings of Koyomi, each with its default.
#
# Remove the "# " before an option to set it. `koyomi` reads config/koyomi.toml in the working directory, or the file
# that --config FILE or KOYOMI_CONFIG names. An environment variable (KOYOMI_NETWORK_PORT for port in [network])
# overrides what stands here, an option of the command line overrides both.
"""


def toml_value(value: object) -> str:
    """A default, written as TOML."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, ByteSize | int) and not isinstance(value, bool) and value >= 1 << 20 and not value % (1 << 20):
        return json.dumps(f"{value >> 20} MiB")
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, tuple):
        return json.dumps([str(item) for item in value])
    return json.dumps("" if value is None else str(value))


def described(name: str) -> str:
    """What an option is, with its unit."""
    unit = option_extra(name, "unit")
    return f"{options()[name].description}{f' In {unit}.' if unit else ''}"


def title(part: str) -> str:
    """What a part is called: the first line of its model's docstring."""
    return (parts()[part].__doc__ or "").split("\n")[0].removesuffix(".")


def sample() -> str:
    """The text of config/koyomi.toml."""
    lines = [HEAD]
    for part, model in parts().items():
        lines += ["", f"## {title(part)} {'-' * (116 - len(title(part)))}", "", f"[{part}]"]
        for option, field in model.model_fields.items():
            name = f"{part}.{option}"
            if name not in options():
                continue
            text = f"{described(name)} Allowed: {allowed_values(name)}."
            lines += ["", *textwrap.wrap(text, 120, initial_indent="## ", subsequent_indent="## ")]
            lines += [f"# {option} = {toml_value(field.default)}"]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The part of docs/operations.md that describes the settings."""
    lines = []
    for part, model in parts().items():
        lines += [f"### {title(part)}: `[{part}]`", ""]
        lines += ["| option | default | meaning | allowed |", "| --- | --- | --- | --- |"]
        for option, field in model.model_fields.items():
            name = f"{part}.{option}"
            if name not in options():
                continue
            default = toml_value(field.default)
            cells = [f"`{option}`", f"`{default}`", described(name), allowed_values(name)]
            lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def documents() -> dict[Path, str]:
    """Each file with the text that it should have."""
    operations = REFERENCE.read_text()
    before, rest = operations.split(BEGIN)
    after = rest.split(END)[1]
    return {SAMPLE: sample(), REFERENCE: f"{before}{BEGIN}\n{reference()}{END}{after}"}


def main() -> int:
    """Write the files, or with --check compare them."""
    stale = {path: text for path, text in documents().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is not what the settings say; run make docs")
        else:
            path.write_text(text)
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
