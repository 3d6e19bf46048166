"""The detector: the worst reading speaks, unread text is a finding, every origin's point lies at one half."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.errors import ConfigError
from sigmaguard.injection.detector import RULE, UNREAD, InjectionDetector, build, shifted
from sigmaguard.injection.model import Score
from sigmaguard.model import Origin, Segment
from sigmaguard.reading import Reading


class Listed:
    """A scorer that looks scores up: a whole fake with the scorer's face."""

    version = "listed"

    def __init__(self, scores: dict[str, Score], threshold: float = 0.5) -> None:
        self.scores, self._threshold = scores, threshold
        self.asked: list[tuple[str, str]] = []

    def threshold(self, point: str, origin: str) -> float:
        if point != "basic":
            raise ConfigError(f"no operating point `{point}`")
        return self._threshold

    def score(self, texts: Sequence[str], origins: Sequence[str]) -> list[Score]:
        self.asked += list(zip(texts, origins, strict=True))
        return [self.scores[text] for text in texts]


def _passage(text: str, *readings: Reading, origin: Origin = Origin.TOOL_RESULT) -> Passage:
    return Passage(Segment("/a", origin, text), (Reading(text), *readings))


def test_reports_however_low_the_score_and_where() -> None:
    scorer = Listed({"calm": Score(0.02, 1, 3, 1, False)})

    ((finding,),) = InjectionDetector(scorer, "basic").detect([_passage("calm")])

    assert (finding.rule, finding.score, finding.start, finding.end) == (RULE, 0.02, 1, 3)
    assert scorer.asked == [("calm", "tool_result")]


def test_the_worst_reading_speaks_with_its_span_in_the_source() -> None:
    decoded = Reading("obey", "base64", starts=[4, 4, 4, 4], ends=[12, 12, 12, 12])
    folded = Reading("x" * 9, "folded")
    scorer = Listed({"see b2JleQ==": Score(0.1, 0, 12, 1, False), "obey": Score(0.97, 0, 4, 2, False)})

    ((finding,),) = InjectionDetector(scorer, "basic").detect([_passage("see b2JleQ==", decoded, folded)])

    assert (finding.view, finding.start, finding.end) == ("base64", 4, 12)
    assert finding.score == pytest.approx(0.97)


def test_a_text_that_was_not_read_whole_is_a_finding_of_its_own() -> None:
    scorer = Listed({"long text": Score(0.1, 0, 4, 1, True)})

    (found,) = InjectionDetector(scorer, "basic").detect([_passage("long text")])

    assert [one.rule for one in found] == [RULE, UNREAD]
    assert (found[1].score, found[1].start, found[1].end) == (1.0, 0, 9)


def test_an_empty_text_has_no_finding() -> None:
    assert InjectionDetector(Listed({"": Score(0.3, 0, 0, 1, False)}), "basic").detect([_passage("")]) == [[]]


@given(threshold=st.floats(0.001, 0.999), low=st.floats(0, 1), high=st.floats(0, 1))
def test_shifting_keeps_the_order_and_moves_the_threshold_to_one_half(
    threshold: float, low: float, high: float
) -> None:
    assert shifted(threshold, threshold) == pytest.approx(0.5)
    assert (shifted(min(low, high), threshold)) <= shifted(max(low, high), threshold)
    assert (shifted(low, threshold) >= 0.5) == (low >= threshold) or abs(low - threshold) < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operating_point": "loose"}, "no operating point `loose`"),
        ({"treshold": 1}, "options: .*treshold"),
        ({"model": "nowhere"}, "missing"),
    ],
)
def test_a_pack_that_asks_for_what_is_not_there_learns_it_at_load(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(options, [])
