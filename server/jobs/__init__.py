"""Jobs in the background: the runner, and what it runs."""
