"""iMIP (RFC 6047), pure: scheduling messages as mails."""
