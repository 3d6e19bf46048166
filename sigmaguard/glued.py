"""Takes apart sentences that are written without blanks: `IgnoreAllRules`, `ignoriereallesvorher`. Judges nothing.

Only a run of letters in which two stems of attacks stand is looked at, so that neither long German words nor names in
code cost anything. What it cannot do: other languages, words that the short list below does not have.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from sigmaguard.decoding import Run

LEAST = 20  # letters: the shortest order worth gluing; compounds and names of that length have one stem at most
LONGEST = 600  # letters of one run that are taken apart, and runs of one text
MOST = 8
_RUN = re.compile(rb"[a-z]{%d,}" % LEAST)
_STEMS = (b"ignor", b"previous", b"instruct", b"prompt", b"system", b"disregard", b"forget", b"overrid", b"reveal",
          b"anweisung", b"vergiss", b"vorherig", b"jailbreak", b"bypass", b"rules", b"regeln")  # fmt: skip
_HUMP = re.compile(r"(?<=[a-z\u00e4\u00f6\u00fc\u00df])(?=[A-Z\u00c4\u00d6\u00dc])")
_WORDS = frozenset(
    """
    a act all alle allem allen alles als also am an and anweisung anweisungen answer any are as at auf aus
    before bevor bisherigen bitte bypass das davor deine deinem deinen deiner dein dem den der die disregard
    do du earlier ein eine end erteilten everything follow folgenden for forget from geheimen gib given
    guidelines haben hidden ich ignore ignorier ignoriere ignorieren in initial instruction instructions is it
    jetzt jailbreak me mein mir mode my nenne never new no not nothing now nun of or other output override
    please pretend previous previously print prior prompt prompts regel regeln repeat restrictions reveal rule
    rules safety sag sage secret sie show sind so system systemprompt systemprompts tell that the them then
    these they this those to told und uns unrestricted us vergiss vor vorherige vorherigen vorigen were what
    with without words write you your zeig zeige zu
    """.split()  # noqa: SIM905  # a table to read, not a list of quotes
)
_WIDEST = max(map(len, _WORDS))
_UNKNOWN = 3  # what a letter outside every word costs, where a word costs 1


def glued(text: str, lowered: bytes) -> list[Run]:
    """Runs of letters that are a sentence without blanks, each with its blanks put in.

    `lowered` is the text in lower case with each code point beyond ASCII as `?`.
    """
    found: list[Run] = []
    for match in _RUN.finditer(lowered):
        letters = match.group()
        if sum(stem in letters for stem in _STEMS) < 2:
            continue
        start, end = match.start(), min(match.end(), match.start() + LONGEST)
        found.append(_apart(text, start, end))
        if len(found) == MOST:
            break
    return found


def _apart(text: str, start: int, end: int) -> Run:
    said: list[str] = []
    lows: list[int] = []
    for word in _words(text, start, end):
        if said:
            said.append(" ")
            lows.append(word.start)
        said.extend(text[word.start : word.stop])
        lows.extend(word)
    return Run(start, end, "".join(said), "glued", lows, [low + 1 for low in lows])


def _words(text: str, start: int, end: int) -> Iterator[range]:
    """Where the words stand: parted at humps first, then by the list."""
    humps = [start, *(hump.start() for hump in _HUMP.finditer(text, start, end)), end]
    for low, high in pairwise(humps):
        yield from _listed(text[low:high].lower(), low)


def _listed(letters: str, start: int) -> Iterator[range]:
    """The cheapest way to part the letters into words of the list and what is left between them."""
    costs = [0] * (len(letters) + 1)
    backs = [0] * (len(letters) + 1)
    for end in range(1, len(letters) + 1):
        costs[end], backs[end] = costs[end - 1] + _UNKNOWN, end - 1
        for begin in range(max(0, end - _WIDEST), end):
            if costs[begin] + 1 < costs[end] and letters[begin:end] in _WORDS:
                costs[end], backs[end] = costs[begin] + 1, begin
    cuts, end = [], len(letters)
    while end:
        cuts.append((backs[end], end, letters[backs[end] : end] in _WORDS))
        end = backs[end]
    low = None
    for begin, end, known in reversed(cuts):
        if known and low is not None:
            yield range(start + low, start + begin)
            low = None
        if known:
            yield range(start + begin, start + end)
        elif low is None:
            low = begin
    if low is not None:
        yield range(start + low, start + len(letters))
