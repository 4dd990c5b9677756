"""The parent and its workers: sockets, TLS, memory, what must be there before serving."""
