"""How much of a stream's end must wait because a value could begin or grow there. Knows shapes only."""

import re

REACH = 320  # the longest value there is: an address of mail
_WORD = re.compile(r"\S+")
# A word that a value could go through: it has a digit, is short, begins with a capital, or is punctuation
_PART = re.compile(r"(?:[^\s]*\d[^\s]*|[A-ZÄÖÜ][^\s]*|[^\sa-zA-Z]+|[a-zäöü]{1,6}\.?|[^\s]*(?:stra(?:ß|ss)e|str\.)[,]?)")


def hold(text: str) -> int:
    """Code point from which `text` must wait: before it no continuation changes any finding.

    A value is made of words that have a digit, a capital or are very short, so the last run of such words
    waits, and the last word in any case, since it has not ended.
    """
    size = len(text)
    low = max(0, size - REACH)
    at = size
    for word in reversed(list(_WORD.finditer(text, low))):
        if at == size and word.end() == size:
            at = word.start()
            continue
        if not _PART.fullmatch(word[0]):
            break
        at = word.start()
    return at
