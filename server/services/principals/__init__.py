"""Use cases of the directory: people, groups, rooms and equipment."""
