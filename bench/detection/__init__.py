"""Trains, exports and judges the injection classifier; nothing here is imported at run time."""
