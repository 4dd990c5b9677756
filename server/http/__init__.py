"""HTTP as all front ends and connectors share it."""
