"""Sending and receiving mail. Nothing here knows calendars."""
