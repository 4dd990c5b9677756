"""The operations, area by area: their rows of the table, their models and handlers."""
