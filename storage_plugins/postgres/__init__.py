"""Storage on PostgreSQL: SQL, migrations and the embedded server."""
