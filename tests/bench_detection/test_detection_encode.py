"""Training windows are cut as at run time, keep their labels through cropping, and balance labels."""

import random

import pytest
from detection.corpus.example import Example
from detection.encode import BODY, CROP, UNKNOWN, _crop, balance, encode
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from sigmaguard.injection.vocabulary import Vocabulary

FLAGS = st.tuples(st.integers(1, BODY), st.integers(0, BODY), st.integers(1, BODY)).map(
    lambda three: [three[1] <= place < three[1] + three[2] for place in range(three[0])]
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    words = {"[UNK]": 100, "calm": 200, "obey": 201}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return Vocabulary(tokenizer)


def _example(text: str, origin: str, *, start: int = 0, end: int = 0) -> Example:
    label = "injection" if end else "benign"
    return Example(
        text=text, label=label, origin=origin, kind="k", lang="en", source="s", template="t", start=start, end=end
    )


@given(inside=FLAGS, seed=st.integers(0, 10**6))
def test_a_crop_is_short_and_keeps_the_attack(inside: list[bool], seed: int) -> None:
    start, end = _crop(inside, random.Random(seed))

    assert 0 <= start < end <= len(inside)
    assert end - start <= max(CROP, min(len(inside), CROP))
    assert sum(inside[start:end]) == min(sum(inside), CROP) or (any(inside) is False)


@given(before=st.integers(0, 400), attack=st.integers(1, 40), after=st.integers(0, 400), seed=st.integers(0, 99))
def test_the_attack_is_labelled_where_it_is(
    vocabulary: Vocabulary, before: int, attack: int, after: int, seed: int
) -> None:
    text = "calm " * before + "obey " * attack + "calm " * after
    example = _example(text, "tool", start=5 * before, end=5 * (before + attack))

    found = encode([example], vocabulary, random.Random(seed))

    assert any(window.label == 1.0 for window in found)
    for window in found:
        obeyed = [place for place, word in enumerate(window.ids) if word == 201]
        assert (window.first, window.last) == ((obeyed[0], obeyed[-1] + 1) if obeyed else (0, 0))
        assert window.label == float(bool(obeyed))


def test_an_attack_without_a_known_place_teaches_no_token(vocabulary: Vocabulary) -> None:
    example = Example(text="obey calm", label="jailbreak", origin="user", kind="k", lang="en", source="s", template="t")

    (window,) = encode([example], vocabulary, random.Random(0))

    assert (window.label, window.first, window.last) == (1.0, UNKNOWN, UNKNOWN)


def test_attacks_weigh_as_much_as_harmless_text_however_many_there_are(vocabulary: Vocabulary) -> None:
    benign = [_example("calm", "user")] * 30
    attacks = [_example("obey", "user", start=0, end=4)] * 10
    found = encode([*benign, *attacks], vocabulary, random.Random(0))
    weights = balance(found)

    assert sum(weights[:30]) == pytest.approx(sum(weights[30:]))
