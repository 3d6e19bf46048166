"""What a stream may let go: for any text and any cut, what stands before `hold` never changes again."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.pii import build
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.reading import Reading

PII = build({}, [])
PIECES = (
    *("anna.schmidt@example.org", "DE89 3704 0044 0532 0130 00", "gb29 nwbk 6016 1331 9268 19", "4111 1111 1111 1111"),
    *("+49 151 23456789", "030 1234567", "(212) 555-0123", "Musterstraße 12a, 10115 Berlin", "Am Alten Markt 5"),
    *("221B Baker Street, London NW1 6XE", "742 Evergreen Terrace, Springfield, IL 62704", "Frankfurt am Main"),
    *("geboren am 12.03.1980", "born on March 12, 1980", "Steuer-ID 86 095 742 719", "M-AB 1234", "HRB 12345"),
    *(
        "15 070649 C 103",
        "KVNR A 000 500 015",
        "am 12.03.1980 geboren",
        "geboren",
        "Tel.",
        "123-45-6788",
        "943 476 5919",
        "8.8.8.8",
        "2001:4860:4860::8888",
    ),
    *("4111\t1111\t1111\t1111", "4111 1111\n1111 1111", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "号4111111111111111,谢"),
    *("00:1A:2B:3C:4D:5E", "Postfach 12 34 56", "passport", "Telefon", "the order", "und dann", "of", "Der Hund", "12"),
    *("345", "6789", "01234", "%", "€", ",", ".", "-", "(", ")", "/", "@", "\n", "  ", "x", "AB", "de12", "str.", "=="),
    *("550e8400-e29b-41d4-a716-446655440000", "v1.2.3.4", "2024-11-24T12:30:15Z", "a" * 70, "QUJD12x/" * 12),
)
texts = st.lists(st.sampled_from(PIECES) | st.text("0123456789 ABde.-/@+()", max_size=6), max_size=12).flatmap(
    lambda parts: st.lists(st.sampled_from(("", " ", " ", " ", ", ")), min_size=len(parts), max_size=len(parts)).map(
        lambda gaps: "".join(part + gap for part, gap in zip(parts, gaps, strict=True))
    )
)


def find(text: str) -> list[Finding]:
    passage = Passage(Segment("/t", Origin.ASSISTANT, text), (Reading(text),))
    return PII.detect((passage,))[0]


@settings(max_examples=400, deadline=None)
@given(texts, st.integers(0, 400))
@example("030 1234567 % more", 12)
@example("Am Alten Markt 5, 50667 Köln", 18)
@example("gb29 nwbk 6016 1331 9268 19", 10)
def test_before_hold_nothing_changes(text: str, cut: int) -> None:
    whole = find(text)
    begun = text[:cut]
    held = PII.hold(begun)
    assert 0 <= held <= len(begun)
    assert [one for one in whole if one.start < held] == [one for one in find(begun) if one.start < held]
    assert not any(one.start < held < one.end for one in whole)


@settings(max_examples=200, deadline=None)
@given(texts, st.integers(0, 400), st.integers(256, 400))
def test_what_was_long_ago_does_not_matter(text: str, cut: int, kept: int) -> None:
    """A guard keeps only some of what it released: findings after that point are the same without the rest."""
    begun = "Please read this. " * 8 + text[:cut]
    done = PII.hold(begun)
    rest = max(0, done - kept)
    whole = begun + text[cut:]
    expected = [(one.start, one.end, one.rule) for one in find(whole) if one.start >= done]
    later = [(one.start + rest, one.end + rest, one.rule) for one in find(whole[rest:])]
    assert [one for one in later if one[1] > done] == expected


def test_prose_waits_for_one_word() -> None:
    text = "The committee in Paris discusses the budget for next year and then it will"
    assert len(text) - PII.hold(text) <= len("will")
