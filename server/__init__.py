"""The CalDAV and CardDAV server and the services behind it."""
