"""Pure: iCalendar parsing and validation, recurrence, time zones, filters, free-busy."""
