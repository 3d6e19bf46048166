"""How well secrets are found: a generated corpus, real sources, and `detect-secrets` beside us."""
