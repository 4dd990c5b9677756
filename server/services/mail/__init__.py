"""Scheduling by mail: what is sent to people elsewhere, and what they send."""
