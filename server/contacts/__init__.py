"""Pure: vCard parsing and validation, address-book filters."""
