"""What every standard builds on: requests, resources, the registry, the multistatus writer, errors."""
