"""Use cases about time: windows of a calendar, free-busy."""
