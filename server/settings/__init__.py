"""Settings: the model, loading, and messages about wrong values."""
