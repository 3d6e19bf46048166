"""The endpoints, one file for each kind of thing. Each function returns its part of the table."""
