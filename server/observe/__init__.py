"""Log, metrics, traces, costs of a request, health."""
