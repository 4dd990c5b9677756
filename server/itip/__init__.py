"""iTIP (RFC 5546) and the rules of implicit scheduling (RFC 6638): pure functions over calendar texts."""
