"""Blanks what is no language: keys, hashes, base64, letters apart. Knows shapes; readings tell what they say.

The model learned from disguised attacks that base64 bodes ill, so harmless base64 scored like an attack half the time.
A run the engine can decode is judged decoded; one that nobody can decode says nothing. So with `l e t t e r s` apart,
which alone made a fifth of harmless texts look like attacks: the engine puts them together in a reading of their own.
What it cannot do: tell a key from words glued together with figures whose letters change case at every step.
"""

import re

LEAST = 32  # code points of a run; the engine decodes shorter ones, too, but they hardly sway the model
GLUED = 0.25  # share of letters in stretches of one case above which a run is words without gaps
_RUN = re.compile(rf"[A-Za-z0-9+/]{{{LEAST},}}={{0,2}}")
_STRETCH = re.compile(r"[a-z]{5,}|[A-Z]{5,}")
_DIGIT = re.compile(r"[0-9]")
_APART = re.compile(r"(?<![^\W_])(?:[^\W_][ ._*|/,~\t\n-]{1,3}){4,}[^\W_](?![^\W_])")


def blanked(text: str, *, letters_apart: bool = False) -> str:
    """The text with every opaque run as spaces, so that places stay the same.

    `letters_apart`: also letters and digits that stand alone, five or more in a row.
    """
    if letters_apart:
        text = _APART.sub(lambda match: " " * len(match.group()), text)
    if len(text) < LEAST or max(map(len, text.split()), default=0) < LEAST:
        return text
    return _RUN.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    run = match.group()
    if _DIGIT.search(run) is None or sum(map(len, _STRETCH.findall(run))) > GLUED * len(run):
        return run
    return " " * len(run)
