"""Maintenance, checks and re-derivation."""
