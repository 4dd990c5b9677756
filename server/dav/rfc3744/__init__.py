"""RFC 3744 access control and principals."""
