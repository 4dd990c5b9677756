"""Use cases that ask by time: windows of a calendar, free-busy."""
