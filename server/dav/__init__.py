"""The protocol: a small core and one module per standard."""
