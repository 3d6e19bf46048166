"""A conversation that grows: what is remembered of its beginning never changes what is found."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.digests import TURNS, Digests
from sigmaguard.inspection import Inspection
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Action, Direction, Finding, Origin, Segment, Timing
from sigmaguard.policy.compiled import Policy
from tests.engine.fakes import Raises, Words, active, policy_of

# short pieces of two words, so that seams complete them now and then
PIECES = st.sampled_from(["bad", "ba", "d", "sec", "ret", "secret", "fine words", "b", "ad", " ", "x" * 300, "se cret"])
ORIGINS = st.sampled_from([Origin.USER, Origin.ASSISTANT, Origin.TOOL_RESULT, Origin.SYSTEM])
TURN = st.lists(st.tuples(ORIGINS, PIECES, st.booleans()), min_size=1, max_size=4)


def policy(**options: object) -> Policy:
    """Two words to find."""
    words = Words({"bad": "phrases.bad", "secret": "leak.secret"}, "phrases")
    return policy_of(active(words, Action.BLOCK))


def segments(said: Sequence[tuple[Origin, str, bool]]) -> list[Segment]:
    """A conversation; a true flag puts a piece into the message before."""
    result: list[Segment] = []
    message = 0
    for index, (origin, text, joins) in enumerate(said):
        message += not (joins and result and result[-1].origin is origin)
        result.append(Segment(f"/messages/{message}/content/{index}", origin, text, message=f"/messages/{message}"))
    return result


def inspect(rules: Policy, said: list[Segment], memory: VerdictMemory, timing: Timing = Timing.BEFORE) -> Inspection:
    """One inspection, run to its end."""
    inspection = Inspection(rules, Direction.INPUT, timing, said, memory, tenant="t", digest_key=b"k" * 32)
    for work in inspection.work():
        inspection.run(work)
    return inspection


def found(inspection: Inspection) -> list[tuple[str, int, int, str]]:
    """What was found, in a fixed order."""
    return sorted((one.path, one.start, one.end, one.rule) for one in inspection.finish())


@settings(max_examples=300, deadline=None)
@given(st.lists(TURN, min_size=1, max_size=6))
def test_a_growing_conversation_is_judged_as_if_it_were_new(turns: list[list[tuple[Origin, str, bool]]]) -> None:
    rules, memory = policy(), VerdictMemory()
    said: list[tuple[Origin, str, bool]] = []
    for turn in turns:
        said += turn
        conversation = segments(said)
        remembered, fresh = inspect(rules, conversation, memory), inspect(rules, conversation, VerdictMemory())
        assert found(remembered) == found(fresh)
        assert remembered.outcomes == fresh.outcomes


@settings(max_examples=300, deadline=None)
@given(st.lists(TURN, min_size=1, max_size=4), st.lists(st.tuples(ORIGINS, PIECES, st.booleans()), min_size=2))
def test_many_questions_after_one_beginning_are_judged_as_if_each_were_new(
    turns: list[list[tuple[Origin, str, bool]]], questions: list[tuple[Origin, str, bool]]
) -> None:
    rules, memory = policy(), VerdictMemory()
    said = [one for turn in turns for one in turn]
    for question in questions:
        conversation = segments([*said, question])
        remembered, fresh = inspect(rules, conversation, memory), inspect(rules, conversation, VerdictMemory())
        assert found(remembered) == found(fresh)
        assert remembered.score == fresh.score


@settings(max_examples=200, deadline=None)
@given(st.lists(TURN, min_size=2, max_size=5), st.data())
def test_a_changed_beginning_is_never_mistaken_for_a_known_one(
    turns: list[list[tuple[Origin, str, bool]]], data: st.DataObject
) -> None:
    rules, memory = policy(), VerdictMemory()
    said = [one for turn in turns for one in turn]
    found(inspect(rules, segments(said), memory))
    place = data.draw(st.integers(0, len(said) - 1))
    changed = [*said[:place], data.draw(st.tuples(ORIGINS, PIECES, st.booleans())), *said[place + 1 :]]
    conversation = segments(changed)
    assert found(inspect(rules, conversation, memory)) == found(inspect(rules, conversation, VerdictMemory()))


def test_only_what_is_new_is_looked_at() -> None:
    words = Words({"bad": "phrases.bad"}, "phrases")
    rules, memory = policy_of(active(words, Action.BLOCK)), VerdictMemory()
    said = [(Origin.USER if at % 2 == 0 else Origin.ASSISTANT, f"message {at} " + "x" * 300, False) for at in range(40)]
    found(inspect(rules, segments(said), memory))
    before = words.looked
    grown = [*said, (Origin.ASSISTANT, "an answer", False), (Origin.USER, "a new question", False)]
    inspection = inspect(rules, segments(grown), memory)
    found(inspection)
    assert words.looked - before <= 2 + 2  # two texts and the seams before them
    assert memory.found >= len(said)
    before = words.looked
    other = [*said, (Origin.ASSISTANT, "an answer", False), (Origin.USER, "another question", False)]
    found(inspect(rules, segments(other), memory))
    assert words.looked - before <= 1 + 2  # one text and the seams before it


def test_a_beginning_of_which_a_detector_failed_is_not_remembered() -> None:
    memory = VerdictMemory()
    said = segments([(Origin.USER, "one", False), (Origin.USER, "two", False)])
    rules = policy_of(active(Raises()))
    found(inspect(rules, said, memory))
    again = Inspection(rules, Direction.INPUT, Timing.BEFORE, said, memory, tenant="t", digest_key=b"k" * 32)
    assert again.fresh == len(said)


def test_findings_of_a_remembered_beginning_point_where_the_text_stands_now() -> None:
    rules, memory = policy(), VerdictMemory()
    said = segments([(Origin.USER, "bad", False), (Origin.ASSISTANT, "fine words", False)])
    found(inspect(rules, said, memory))
    moved = [
        Segment(one.path.replace("/messages", "/input"), one.origin, one.text, message=one.message) for one in said
    ]
    findings: list[Finding] = inspect(rules, moved, memory).finish()
    assert [one.path for one in findings] == [moved[0].path]


def test_prefixes_are_few_and_longest_first() -> None:
    said = segments([(Origin.USER, str(at), False) for at in range(50)])
    counts = [count for count, _ in Digests(said).prefixes()]
    assert counts == list(range(50, 50 - TURNS, -1))
