"""What the audit log costs on the hot path and what a dashboard's questions cost on a large table."""
