"""The embedded PostgreSQL: finding, creating, starting, adopting and stopping it."""
