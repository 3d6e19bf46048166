"""The stream guard: any chunking gives the same, nothing blocked leaves, masked stream equals masked whole."""

import base64
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Cost
from sigmaguard.inspection import Inspection
from sigmaguard.mask import Vault
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Action, Direction, Finding, OnFault, Origin, Outcome, Segment, Timing
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.pack import Limits
from sigmaguard.stream import StreamGuard
from sigmaguard.tail import open_from
from sigmaguard.wire.body import apply_edits
from sigmaguard.wire.codec import Delta, Edit
from sigmaguard_proxy.acting import mask
from tests.engine.fakes import Raises, WholeWords, Words, active, blocks, masks, policy_of

KEY = b"k" * 32
POLICY = policy_of(masks("swordfish", "hunter two", "fishbone"), blocks("forbidden fruit"))
WORDS = ["swordfish", "hunter two", "fishbone", "forbidden fruit", "forbidden", "sword", "fish", "the", "I", "a", "be"]


def encoded(word: str, how: str) -> str:
    """A word in one of the disguises that `fold` undoes."""
    match how:
        case "base64":
            return base64.b64encode(f"say the {word} now".encode()).decode()
        case "hex":
            return f"say the {word} now".encode().hex()
        case "pairs":
            return " ".join(f"{byte:02x}" for byte in word.encode())
        case "percent":
            return "".join(f"%{byte:02x}" for byte in word.encode())
        case "spaced":
            return " ".join(word.replace(" ", ""))
        case "escaped":
            return "".join(f"\\u{ord(one):04x}" for one in word)
        case "zero_width":
            return "\u200b".join(word)
        case "fullwidth":
            return "".join(chr(ord(one) + 0xFEE0) if one != " " else one for one in word)
        case "markup":
            return f"{word[:4]}<b class='x'>{word[4:]}</b>"
        case "upper":
            return word.upper()
        case _:
            return word


DISGUISES = ("", "base64", "hex", "pairs", "percent", "spaced", "escaped", "zero_width", "fullwidth", "markup", "upper")
pieces = st.one_of(
    st.builds(encoded, st.sampled_from(WORDS), st.sampled_from(DISGUISES)),
    st.text(alphabet="abz 0\n\t.<>&%\\=-é漢🙂\u200b\u0301", max_size=6),
    st.sampled_from([" ", "\n", " and then ", ". ", "-", "<", "&amp;", "%", "AAAA" * 16 + "\n", "x" * 300]),
)
texts = st.lists(pieces, max_size=8).map("".join)


@st.composite
def chunked(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text and one way to cut it."""
    text = draw(texts)
    cuts = draw(
        st.one_of(st.just(list(range(len(text)))), st.lists(st.integers(0, len(text)), max_size=12).map(sorted))
    )
    edges = [0, *cuts, len(text)]
    return text, [text[low:high] for low, high in pairwise(edges) if low < high]


def masker(policy: Policy):  # type: ignore[no-untyped-def]
    """What turns findings into edits, as the proxy does it."""

    def edits(segment: Segment, findings: Sequence[Finding]) -> list[Edit]:
        return mask(segment, findings, policy, Vault(()), KEY, Direction.OUTPUT)

    return edits


def run(
    policy: Policy, chunks: Sequence[str], origin: Origin = Origin.ASSISTANT, *, is_json: bool = False
) -> StreamGuard:
    """A guard that was fed these chunks; `released` is what came out."""
    guard = StreamGuard(policy, masker(policy), KEY)
    out = [guard.feed(Delta("c", "/c", origin, chunk, is_json)) for chunk in chunks]
    out.append(guard.finish("c"))
    guard.released = "".join(out)  # type: ignore[attr-defined]
    return guard


def whole_answer(policy: Policy, text: str) -> tuple[str | None, list[Finding]]:
    """The same text as a whole answer: what may leave (None where it is blocked) and every finding."""
    segment = Segment("/c", Origin.ASSISTANT, text)
    memory = VerdictMemory(10)
    one = Inspection(policy, Direction.OUTPUT, Timing.BEFORE, [segment], memory, tenant="", digest_key=KEY)
    for work in one.work():
        one.run(work)
    findings = one.finish()
    actions = {policy.action(found.rule, found.detector, Direction.OUTPUT) for found in findings}
    if Action.BLOCK in actions:
        return None, findings
    acting = [f for f in findings if policy.action(f.rule, f.detector, Direction.OUTPUT) is Action.MASK]
    return apply_edits(text, masker(policy)(segment, acting)), findings


def up_to_the_block(text: str, findings: Sequence[Finding]) -> str:
    """What stands before the first finding that blocks, masked."""
    masked = [one for one in findings if one.rule == "test.secret"]
    cut = min(one.start for one in findings if one.rule == "test.bad")
    while crossing := [one.start for one in masked if one.start < cut < one.end]:
        cut = min(crossing)
    segment = Segment("/c", Origin.ASSISTANT, text[:cut])
    return apply_edits(text[:cut], masker(POLICY)(segment, [one for one in masked if one.end <= cut]))


def told(findings: Sequence[Finding]) -> list[tuple[str, int, int, str]]:
    """Findings without what says where they came from."""
    return sorted((found.rule, found.start, found.end, found.digest) for found in findings)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chunked())
@example(("x hunter two y", ["x hunter", " two y"]))
@example(("<b> swordfish", list("<b> swordfish")))
def test_a_stream_ends_as_the_whole_does(case: tuple[str, list[str]]) -> None:
    text, chunks = case
    guard = run(POLICY, chunks)
    expected, findings = whole_answer(POLICY, text)
    if expected is None:
        assert guard.stopped is not None
        assert guard.released == up_to_the_block(text, findings)  # type: ignore[attr-defined]
    else:
        assert guard.stopped is None
        assert guard.released == expected  # type: ignore[attr-defined]
        assert told(guard.findings) == told(findings)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chunked(), st.data())
def test_two_chunkings_of_one_text_agree(case: tuple[str, list[str]], data: st.DataObject) -> None:
    text, chunks = case
    at = data.draw(st.integers(0, len(text)))
    one, other = run(POLICY, chunks), run(POLICY, [part for part in (text[:at], text[at:]) if part])
    assert one.released == other.released  # type: ignore[attr-defined]
    assert one.stopped == other.stopped
    assert told(one.findings) == told(other.findings)
    assert one.outcomes == other.outcomes


@pytest.mark.parametrize("how", DISGUISES)
def test_a_disguised_word_never_leaves_in_pieces(how: str) -> None:
    text = f"well {encoded('swordfish', how)} done"
    expected, findings = whole_answer(POLICY, text)
    assert findings
    assert expected is not None
    guard = run(POLICY, list(text))
    assert guard.released == expected  # type: ignore[attr-defined]


def test_a_clean_stream_leaves_word_by_word() -> None:
    guard = StreamGuard(POLICY, masker(POLICY), KEY)
    out = [guard.feed(Delta("c", "/c", Origin.ASSISTANT, word)) for word in ("The", " cat", " sat", " down", ".")]
    assert out == ["", "The ", "cat ", "sat ", ""]
    assert guard.finish("c") == "down."


def test_text_without_a_detector_that_acts_leaves_at_once() -> None:
    policy = policy_of(active(Words({"swordfish": "test.seen"}), Action.FLAG))
    guard = StreamGuard(policy, masker(policy), KEY)
    assert guard.feed(Delta("c", "/c", Origin.ASSISTANT, "swordf")) == "swordf"
    assert guard.feed(Delta("c", "/c", Origin.ASSISTANT, "ish")) == "ish"
    assert guard.finish("c") == ""
    assert told(guard.findings)[0][:3] == ("test.seen", 0, 9)


def test_a_rule_that_acts_does_not_make_another_detector_hold() -> None:
    """An override for one family must not buffer a stream whole for a detector of another."""
    quiet = active(WholeWords({"x": "other.x"}), Action.FLAG)
    policy = policy_of(quiet, masks("swordfish"))
    assert run(policy, ["hello "]).whole_only == []


def test_a_detector_without_hold_holds_the_channel_whole() -> None:
    policy = policy_of(active(WholeWords({"swordfish": "test.secret"}), Action.MASK))
    guard = StreamGuard(policy, masker(policy), KEY)
    assert guard.feed(Delta("c", "/c", Origin.ASSISTANT, "a swordfish, ")) == ""
    assert guard.feed(Delta("c", "/c", Origin.ASSISTANT, "b")) == ""
    assert guard.finish("c") == "a [SECRET], b"


def test_a_pooled_detector_is_left_to_the_caller() -> None:
    slow = active(Words({"swordfish": "test.secret"}, cost=Cost.POOLED), Action.MASK)
    policy = policy_of(slow)
    guard = StreamGuard(policy, masker(policy), KEY)
    guard.feed(Delta("c", "/c", Origin.ASSISTANT, "a swordfish"))
    closing = guard.close("c")
    assert closing is not None
    assert [work.active for work in closing.work] == [slow]
    closing.fail(closing.work[0], "too slow", timed_out=True)
    assert closing.release() == ""
    assert guard.stopped is not None
    assert guard.outcomes == {"words": Outcome.TIMED_OUT}


def test_tool_arguments_wait_until_their_json_is_complete() -> None:
    source = '{"a": "x\\nswordfish", "n": 1}'
    guard = StreamGuard(POLICY, masker(POLICY), KEY)
    assert all(guard.feed(Delta("t", "/t", Origin.TOOL_CALL, one, True)) == "" for one in source)
    assert guard.finish("t") == '{"a": "x\\n[SECRET]", "n": 1}'


def test_blocked_tool_arguments_release_nothing() -> None:
    guard = run(POLICY, ['{"a": "good", "b": "forbid', 'den fruit"}'], Origin.TOOL_CALL, is_json=True)
    assert guard.released == ""  # type: ignore[attr-defined]
    assert guard.stopped is not None


def test_channels_do_not_mix_and_a_stop_stops_them_all() -> None:
    guard = StreamGuard(POLICY, masker(POLICY), KEY)
    assert guard.feed(Delta("0/content", "/a", Origin.ASSISTANT, "forbidden ")) == ""
    assert guard.feed(Delta("1/content", "/b", Origin.ASSISTANT, "fruit is fine ")) == "fruit is fine "
    assert guard.feed(Delta("0/content", "/a", Origin.ASSISTANT, "fruit ")) == ""
    assert guard.stopped is not None
    assert guard.feed(Delta("1/content", "/b", Origin.ASSISTANT, "more ")) == ""
    assert guard.finish_all() == {"0/content": "", "1/content": ""}


def test_masks_before_a_block_are_still_masked() -> None:
    policy = policy_of(masks("one two"), blocks("two three"))
    guard = run(policy, ["say one two three now"])
    assert guard.released == "say "  # type: ignore[attr-defined]


def test_too_much_held_text_closes_the_stream() -> None:
    policy = policy_of(masks("swordfish"), limits=Limits(hold_chars=100))
    guard = run(policy, ["x" * 60, "y" * 60, " and on"])
    assert guard.stopped is not None
    assert guard.stopped.rule == "fault.hold_limit"
    assert guard.released == ""  # type: ignore[attr-defined]


def test_a_long_text_that_repeats_a_stream_is_no_reason_to_close() -> None:
    policy = policy_of(masks("swordfish"), limits=Limits(hold_chars=100))
    guard = run(policy, ["word "] * 100)
    assert guard.whole(Segment("/text", Origin.ASSISTANT, "word " * 100)) == "word " * 100
    assert guard.stopped is None


def test_done_events_are_masked_alike_and_counted_once() -> None:
    guard = run(POLICY, ["the sword", "fish is here"])
    for _ in range(3):
        assert guard.whole(Segment("/text", Origin.ASSISTANT, "the swordfish is here")) == "the [SECRET] is here"
    assert len(guard.findings) == 1
    assert guard.whole(Segment("/name", Origin.TOOL_CALL, "fishbone")) == "[SECRET]"
    assert len(guard.findings) == 2  # a text that was not streamed counts


def test_a_repeated_text_is_looked_at_once() -> None:
    finder = Words({"swordfish": "test.secret"})
    policy = policy_of(active(finder, Action.MASK))
    guard = StreamGuard(policy, masker(policy), KEY)
    assert {guard.whole(Segment(f"/{at}", Origin.ASSISTANT, "a swordfish")) for at in range(4)} == {"a [SECRET]"}
    assert finder.looked == 1


@pytest.mark.parametrize("on_fault", list(OnFault))
def test_a_detector_that_raises_in_a_stream(on_fault: OnFault) -> None:
    policy = policy_of(active(Raises(AttributeError("x")), on_fault=on_fault))
    guard = run(policy, ["hello there ", "you"])
    assert len(guard.faults) == 1
    if on_fault is OnFault.CLOSED:
        assert guard.released == ""  # type: ignore[attr-defined]
        assert guard.stopped is not None
    else:
        assert guard.released == "hello there you"  # type: ignore[attr-defined]
        assert guard.outcomes == {"raises": Outcome.FAILED_OPEN}


def test_a_long_word_costs_linear_time() -> None:
    """A long run of base64 in small pieces: the last word only grows, so nothing is looked at twice."""
    finder = Words({"swordfish": "test.secret"})
    policy = policy_of(active(finder, Action.MASK))
    guard = StreamGuard(policy, masker(policy), KEY)
    for _ in range(5_000):
        assert guard.feed(Delta("c", "/c", Origin.ASSISTANT, "QUJD" * 10)) == ""
    assert finder.looked == 0
    assert len(guard.feed(Delta("c", "/c", Origin.ASSISTANT, " end "))) == 200_001 + 4


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_what_is_settled_stays_settled(text: str, more: str) -> None:
    """The open end of a text never moves to the left of where it was before more text came."""
    assert open_from(text) <= len(text)
    assert open_from(text + more) >= min(open_from(text), len(text))
