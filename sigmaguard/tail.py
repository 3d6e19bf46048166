"""From where the end of a text could still turn into disguised text. Knows shapes, decodes nothing.

`fold.readings` reads encoded runs (base64 over lines, hex pairs, spaced letters, markup, escapes). While a
stream grows such a run may be unfinished: what it will say is not known yet, so it has to wait.
"""

import re

from sigmaguard.decoding import letters, runs

# What runs of spaced letters, hex pairs and bits are made of, with separators; the first may end a word.
_PIECE = r"(?:(?:0[xX])?(?:[0-9A-Fa-f]{2}){1,2}|(?:[01]{8}){1,8}|[^\W_])"
_LINK = re.compile(rf"[\W_]*(?:{_PIECE}[\W_]+)*{_PIECE}?[\W_]*")
_FIRST_LINK = re.compile(rf"[^0-9A-Za-z]{_PIECE}[\W_]*\Z")
# base64 goes on over line ends once a line of it is this long
_LINES = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{60,}+(?:\r?\n[ \t]{0,8}[A-Za-z0-9+/_-]*+)++\Z")
_MARKUP = re.compile(r"<(?:[A-Za-z/!][^<>]*+)?\Z")
MARKUP_REACH = 544  # the longest tag or comment that is undone, with its name and brackets
LONGEST_LINK = 64  # a longer word is no separator-parted letters
_SPACES = " \n\t\r"


def open_from(text: str) -> int:
    """The code point at which the unfinished run at the end of `text` begins; len(text) where there is none.

    The last word is always unfinished: every word could grow into an encoded one.
    """
    at = len(text)
    while at:
        start = _word(text, at)
        if at == len(text):
            start = min(start, _markup(text), _lines(text))
        if start == at:
            return _links(text, at)
        at = start
    return 0


def uncut(text: str, at: int) -> int:
    """`at`, or where what ends there begins to be unfinished once no encoded run of `text` is cut in two."""
    ascii_bytes = text.encode("ascii", "replace")
    spans = [(run.start, run.end) for run in (*runs(text, ascii_bytes), *letters(text, ascii_bytes))]
    while cut := [start for start, end in spans if start < at < end]:
        at = open_from(text[: min(cut)])
    return at


def _word(text: str, end: int) -> int:
    """Where the word that ends at `end` begins; `end` where white space stands before it."""
    at = text.rfind(" ", 0, end)
    at = max(at, text.rfind("\n", at + 1, end))
    return max(at, text.rfind("\t", at + 1, end), text.rfind("\r", at + 1, end)) + 1


def _markup(text: str) -> int:
    """Where a tag that is not closed begins."""
    if "<" not in text:
        return len(text)
    at = text.rfind("<", max(0, len(text) - MARKUP_REACH))
    return at if at >= 0 and _MARKUP.match(text, at) else len(text)


def _lines(text: str) -> int:
    """Where base64 that may go on in the next line begins."""
    if "\n" not in text:
        return len(text)
    found = _LINES.search(text)
    return found.start() if found else len(text)


def _links(text: str, at: int) -> int:
    """Where the chain of single letters, hex pairs or bits that ends before `at` begins."""
    end = at
    while end:
        word_end = end
        while word_end and text[word_end - 1] in _SPACES and end - word_end < 4:
            word_end -= 1
        if word_end == end:
            return at
        start = _word(text, word_end)
        if start == word_end:
            return at
        if word_end - start > LONGEST_LINK or not _LINK.fullmatch(text, start, word_end):
            return start if _FIRST_LINK.search(text, max(start, word_end - LONGEST_LINK), word_end) else at
        at = end = start
    return at
