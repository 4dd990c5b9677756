"""Authentication back ends and the authorisation policy."""
