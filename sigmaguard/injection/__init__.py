"""The injection classifier: text and origin in, a calibrated score out. Knows weights, not policies."""
