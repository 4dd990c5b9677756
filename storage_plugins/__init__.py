"""Storage plugins: what `server.storage` asks for, on a database."""
