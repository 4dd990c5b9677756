"""The protocols of `server.storage` in memory, for unit tests of services."""
