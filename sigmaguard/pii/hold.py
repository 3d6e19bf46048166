"""How much of a stream's end must wait because a value could begin or grow there. Knows shapes of words only."""

import regex

from sigmaguard.pii.generic import ACCOUNT, ACCOUNT_GAP

REACH = 384  # the longest value (an address of mail, 320) and what it could push out of its place
NAMED = 4  # words without a digit with which a value can begin: `Am Alten Markt 5`, `HRB 12`, `March 12, 1980`
APART = 12  # words without a digit between two with: house number and postal code of an English address

_WORD = regex.compile(r"(?r)\S+")
_DIGIT = regex.compile(r"\d")
# a word a value can go through that has no digit: it begins with a capital, is one letter, joins the
# parts of a town's name or a date, is punctuation, or names a street
_PART = regex.compile(
    r"\S*\p{Lu}\S*|[^\w\s]*(?:\p{L}|am|an|der|im|in|ob|vor|bei|of|on)[^\w\s]*|[^\w\s]+"
    r"|\S*(?:stra(?:ß|ss)e|str\.|allee|gasse)[^\w\s]*"
)
_IBAN = regex.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=IBAN))[A-Za-z]{{2}}\d{{2}}(?:{ACCOUNT_GAP}?[A-Za-z0-9])*+[ .>\r\n-]*\Z"
)


def hold(text: str) -> int:
    """Code point from which `text` must wait: before it no continuation changes any finding.

    The last word waits in any case, since it has not ended. Before it wait the words a value could
    go through, back to the first with a digit and the few a value could begin with.
    """
    size = len(text)
    low = max(0, size - REACH)
    at = first_digit = size
    plain: list[int] = []  # starts of words without digit since the last one with
    for word in _WORD.finditer(text, low):
        start = word.start()
        if word.end() < size:
            if _DIGIT.search(text, start, word.end()):
                first_digit = start
                plain = []
                continue
            if len(plain) >= APART or not _PART.fullmatch(text, start, word.end()):
                break
            plain.append(start)
        else:
            at = start
            if _DIGIT.search(text, start, size):
                first_digit = start
    begin = min(at, first_digit)
    if plain:
        begin = min(begin, plain[min(NAMED, len(plain)) - 1])
    # the groups of an account may be letters only, so it can reach over words that are no part of it
    iban = _IBAN.search(text, max(0, begin - ACCOUNT), begin)
    if iban:
        begin = iban.start()
    return begin
