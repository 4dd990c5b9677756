"""The progress bar of commands."""

import io
import sys

from server.commands.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal_and_removed(monkeypatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with progress_bar(200) as progress:
        progress(50)
        progress(220)
    empty, quarter, full, removed = shown.getvalue().split("\r\033[K")[1:]
    assert empty == f"[{'-' * 30}]   0%  0 of 200"
    assert quarter == f"[{'#' * 8}{'-' * 22}]  25%  50 of 200"
    assert full == f"[{'#' * 30}] 100%  220 of 220"
    assert removed == ""


def test_nothing_is_drawn_elsewhere(monkeypatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    with progress_bar(0) as progress:
        progress(1)
    assert shown.getvalue() == ""
