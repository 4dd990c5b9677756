"""Import and export: files and folders of iCalendar and vCard, and folders as Radicale keeps them."""
