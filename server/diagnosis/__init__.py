"""Checks of `koyomi doctor`."""
