"""Passwords that commands ask for or make."""

from __future__ import annotations

import sys

import click

from server.auth import app_passwords


def read_password(from_stdin: bool, *, new: bool = True) -> str:
    """A password from the first line of the standard input, or asked for without showing it; a new one twice."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on: use --password-stdin or --generate.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same again" if new else False)
    return password


def generate_password() -> str:
    """A random password of 75 bits: three of the groups that app passwords have five of."""
    return "-".join(app_passwords.generate().split("-")[:3])
