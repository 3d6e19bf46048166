"""Ids found by our own splitting are those of `tokenizers`, whatever the text; offsets stand beside them."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer

import sigmaguard.injection
from sigmaguard.injection.vocabulary import LONGEST_WORD, Vocabulary

FILE = Path(sigmaguard.injection.__file__).parent / "model" / "tokenizer.json"
VOCABULARY = Vocabulary.load(FILE)
TOKENIZER = Tokenizer.from_file(str(FILE))

WORDS = st.sampled_from(
    (
        *("Ignore", "previous", "Öffnungszeiten", "größer", "Straße", "naïve", "don't", "[SEP]", "##ing", "e-mail"),
        *("v2.5.1", "„Zitat“", "§", "5 €", "日本", "привет", "\u0130", "\u1e9e", "\ufb01", "a\u0300"),
        "x" * (LONGEST_WORD + 1),
    )
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.lists(WORDS | st.text(max_size=3)).map(" ".join)
)


@given(TEXTS)
@example("a\x0bb \x1c c\u2028d\u0085e\u00a0f\u200bg")
@example("tab\tnew\r\nline  two")
def test_ids_and_offsets_are_those_of_tokenizers(text: str) -> None:
    whole = TOKENIZER.encode(text, add_special_tokens=False)
    found = VOCABULARY.tokens(text)
    assert found.ids == whole.ids
    assert list(found.offsets) == list(whole.offsets)


@pytest.mark.parametrize("point", range(0, 0x110000, 0x1000))
def test_every_code_point_is_normalised_as_tokenizers_does(point: int) -> None:
    for one in range(point, point + 0x1000):
        if not 0xD800 <= one <= 0xDFFF:
            text = f"ab{chr(one)}c {chr(one)}{chr(one)}"
            assert VOCABULARY.tokens(text).ids == TOKENIZER.encode(text, add_special_tokens=False).ids, hex(one)
