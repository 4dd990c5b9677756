"""Outbox relay, the bus and its consumers."""
