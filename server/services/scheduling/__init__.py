"""Scheduling: invitations, answers and busy times among calendar users (RFC 6638)."""
