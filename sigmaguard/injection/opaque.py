"""Blanks what is no language: keys, hashes, base64. Knows shapes; what such a run says, the engine's readings tell.

The model learned from disguised attacks that base64 bodes ill, so harmless base64 scored like an attack half the time.
A run the engine can decode is judged decoded; one that nobody can decode says nothing.
What it cannot do: tell a key from words glued together with figures whose letters change case at every step.
"""

import re

LEAST = 32  # code points of a run; the engine decodes shorter ones, too, but they hardly sway the model
GLUED = 0.25  # share of letters in stretches of one case above which a run is words without gaps
_RUN = re.compile(rf"[A-Za-z0-9+/]{{{LEAST},}}={{0,2}}")
_STRETCH = re.compile(r"[a-z]{5,}|[A-Z]{5,}")
_DIGIT = re.compile(r"[0-9]")


def blanked(text: str) -> str:
    """The text with every opaque run as spaces, so that places stay the same."""
    if len(text) < LEAST or max(map(len, text.split()), default=0) < LEAST:
        return text
    return _RUN.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    run = match.group()
    if _DIGIT.search(run) is None or sum(map(len, _STRETCH.findall(run))) > GLUED * len(run):
        return run
    return " " * len(run)
