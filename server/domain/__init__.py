"""Values that all layers share; they know no protocol, database or settings."""
