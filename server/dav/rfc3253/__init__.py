"""RFC 3253: REPORT (§3.6) and DAV:expand-property (§3.8)."""
