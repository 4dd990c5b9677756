"""The page behind the links of mails, on which organizers check in."""
