"""What is looked at in passing to spare a text the patterns never changes what is found."""

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sigmaguard.pii.analyzer import PiiAnalyzer
from sigmaguard.pii.context import ContextWords
from sigmaguard.pii.table import kinds
from sigmaguard.pii.words import WORDS

TABLE = kinds()
GATED = PiiAnalyzer(TABLE)
OPEN = PiiAnalyzer([msgspec.structs.replace(kind, gate="") for kind in TABLE])
LITERALS = {at: literals for at, literals in enumerate(WORDS.values())}

# the characters that values are made of, and some that are digits or letters only to Unicode
CHARS = st.sampled_from("ABCDEFTXYZabcdef0123456789 -:./ÄÖÜ٣٤Ⅷ１２")
VALUES = st.sampled_from(
    [
        *("3c:22:fb:9a:01:7e", "3C-22-FB-9A-01-7E", "3c22.fb9a.017e", "B-AB 1234", "LÖ-X 99", "M XY 123", "L01X00T47"),
        *("C01X00T478", "T٣٤٣٤٣٤٣٤", "AB 12 34 56 C", "AB１２ 34 56 C", "MORGA753116SM9IJ", "1EG4-TE5-MK73"),
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
        *("4111\u20131111\u00a01111\u202f1111", "4111 1111\\\r\n> 1111 1111", "4111\t1111  1111 / 1111"),
    ]
)
TEXTS = st.lists(VALUES | st.text(CHARS, max_size=14), max_size=6).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("IP 93.184.216.34, MAC 3c22.fb9a.017e")
def test_gates_hide_nothing(text: str) -> None:
    assert GATED.find(text) == OPEN.find(text)


def test_every_word_is_seen_however_it_is_written() -> None:
    for at, literals in LITERALS.items():
        words = ContextWords({at: literals})
        for literal in literals:
            for gap in (" ", "-", "_", "\u00a0", "\u2011", "\n", "\t", ""):
                for written in (literal, literal.upper(), literal.capitalize()):
                    if len(written) != len(literal):
                        continue  # ß in capitals
                    text = f"x {written.replace(' ', gap)} "
                    assert words.scan(text, text.encode()), text


def test_a_kelvin_sign_is_a_k() -> None:
    text = "\u212aonto 12"
    assert ContextWords({0: ("konto",)}).scan(text, text.encode()) == {0: [5]}
