"""Measures the phrases detector: what it flags among harmless texts and what it finds among attacks."""
