"""What `koyomi doctor` looks at."""
