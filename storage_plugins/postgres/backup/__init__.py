"""Backup, restore and SQL dumps."""
