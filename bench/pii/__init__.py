"""Corpora, training and measurements for personal data. Nothing here is imported by the engine."""
