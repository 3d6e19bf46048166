"""What the control plane costs: keys, limits, counters and the audit log, each on its own and in whole requests."""
