"""The generated part of the training corpus: modules of our own sentences, seeded and reproducible."""
