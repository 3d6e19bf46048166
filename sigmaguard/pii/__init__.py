"""Personal data: Presidio's recognizers, run fast enough for the hot path."""
