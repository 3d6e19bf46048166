"""The secrets bench plants what it says it plants and counts right; the recall it shows is held."""

from leaks.corpus import Document, Planted, documents
from leaks.finders import Found, Sigmaguard
from leaks.score import score

DEVELOPMENT_SEED = 5


class Fixed:
    """Finds the same spans in every text."""

    name = "fixed"

    def __init__(self, *spans: tuple[int, int]) -> None:
        self._spans = spans

    def find(self, name: str, text: str) -> list[Found]:
        return [Found(start, end, "rule") for start, end in self._spans]


def test_the_corpus_is_the_same_for_a_seed_and_holds_what_it_says() -> None:
    corpus = list(documents(300, DEVELOPMENT_SEED))
    assert corpus == list(documents(300, DEVELOPMENT_SEED)) != list(documents(300, DEVELOPMENT_SEED + 1))
    planted = [(document, one) for document in corpus for one in document.planted]
    assert len(planted) == 225 and len({one.kind for _, one in planted}) >= 40
    for document, one in planted:
        value = document.text[one.start : one.end]
        assert len(value) == one.end - one.start > 5
        assert not any(start < one.end and one.start < end for start, end, _ in document.harmless)


def test_the_score_counts_noticed_covered_missed_and_false() -> None:
    text = "key: SECRET\nuuid: 1234\nfine\n"
    document = Document("a.txt", text, (Planted("token", 5, 11),), ((12, 22, "uuid"), (23, 27, "prose")))
    nothing, all_right = score(Fixed(), [document]), score(Fixed((5, 11)), [document])
    assert (nothing.recall, nothing.covered.total(), nothing.false.total()) == (0.0, 0, 0)
    assert (all_right.recall, all_right.covered.total(), all_right.precision) == (1.0, 1, 1.0)
    clumsy = score(Fixed((0, 4), (12, 16), (18, 22)), [document])
    assert (clumsy.noticed.total(), clumsy.covered.total(), dict(+clumsy.false)) == (1, 0, {"uuid": 1})


def test_recall_and_precision_stay_where_they_were_shown() -> None:
    result = score(Sigmaguard(), list(documents(400, DEVELOPMENT_SEED)))
    assert result.recall >= 0.98 and result.precision >= 0.98
