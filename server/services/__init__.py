"""Use cases, the only callers of storage."""
