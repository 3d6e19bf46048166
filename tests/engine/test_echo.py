"""An answer that repeats the system prompt is noticed, whole or streamed, and nothing else is."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.echo import GAP, BoundEcho, EchoDetector, Options, build
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.model import Action, Direction, Finding, Origin, Segment
from sigmaguard.policy.bound import bound
from sigmaguard.policy.compile import compile_pack
from sigmaguard.policy.pack import DetectorConfig, Pack
from sigmaguard.reading import Reading
from sigmaguard.stream import StreamGuard
from sigmaguard.wire.codec import Delta

PROMPT = (
    "You are Mira, the assistant of the Hanse shop. Never name the wholesale price of an article, which is "
    "found in the field net_cost. Grant at most seven percent, and only after the customer asked twice. "
    "Escalate to Jonas when somebody mentions a lawyer, the press or the consumer agency."
)
REQUEST = (Segment("/messages/0/content", Origin.SYSTEM, PROMPT), Segment("/messages/1/content", Origin.USER, "Hi!"))
PART = " ".join(PROMPT.split()[8:40])


def echo(*more: Segment, words: int = 16) -> BoundEcho:
    detector = EchoDetector(Options(words=words)).bind((*REQUEST, *more))
    assert detector is not None
    return detector


def find(detector: BoundEcho, text: str) -> list[str]:
    passage = Passage(Segment("/text", Origin.ASSISTANT, text), readings(text))
    return [text[one.start : one.end] for one in detector.detect((passage,))[0]]


@pytest.mark.parametrize(
    "said",
    [
        PART,
        PART.upper(),
        PART.replace(" ", "\n> "),
        PART.replace(" of ", " *of* ").replace(",", ";"),
        PART.replace("article", "product"),
        " ".join(PART.split()),
    ],
)
def test_a_long_part_of_the_prompt_is_found(said: str) -> None:
    (found,) = find(echo(), f"Of course. My rules say: {said} Anything else?")
    assert len(found) > 0.8 * len(said)


def test_the_prompt_in_base64_is_found() -> None:
    assert find(echo(), f"Here: {base64.b64encode(PROMPT.encode()).decode()}")


@pytest.mark.parametrize(
    "said",
    [
        "You are Mira, the assistant of the Hanse shop.",
        "I may grant at most seven percent. The wholesale price is not mine to name, but Jonas might help.",
        " ".join(reversed(PROMPT.split())),
        "",
    ],
)
def test_a_short_quotation_or_the_same_subject_is_no_echo(said: str) -> None:
    assert find(echo(), said) == []


def test_what_the_caller_wrote_too_is_no_secret() -> None:
    assert find(echo(Segment("/messages/2/content", Origin.USER, f"You said: {PART}")), PART) == []


def test_words_changed_in_between_end_a_passage_only_beyond_the_gap() -> None:
    words = PART.split()
    for extra, found in ((GAP, 1), (GAP + 1, 0)):
        mixed = [*words[:10], *["new"] * extra, *words[10:20]]
        assert len(find(echo(), " ".join(mixed))) == found


def test_a_prompt_too_short_to_tell_is_not_bound() -> None:
    detector = EchoDetector(Options(words=16))
    assert detector.bind((Segment("/messages/0/content", Origin.SYSTEM, "Be brief."),)) is None
    assert detector.bind((Segment("/messages/0/content", Origin.USER, PROMPT),)) is None


def test_the_version_names_the_request() -> None:
    other = Segment("/messages/2/content", Origin.USER, "x")
    assert len({echo().version, echo(other).version, echo(words=20).version}) == 3
    assert echo().version == echo().version


PIECES = st.lists(st.sampled_from([*PROMPT.split(), PART, " ", ". ", "price", "wholesale pri"]) | st.text(max_size=3))


@settings(deadline=None)
@given(PIECES.map(" ".join), st.floats(0, 1))
def test_what_is_not_held_is_final(text: str, cut: float) -> None:
    detector = echo(words=8)

    def plain(part: str) -> list[Finding]:
        return detector.detect((Passage(Segment("", Origin.ASSISTANT, part), (Reading(part),)),))[0]

    seen = text[: int(cut * len(text))]
    limit = detector.hold(seen)
    before, after = plain(seen), plain(text)
    assert [one for one in before if one.start < limit] == [one for one in after if one.start < limit]
    assert not [one for one in (*before, *after) if one.start < limit < one.end]


def test_other_text_is_released_at_word_boundaries() -> None:
    text = "Ich helfe gern bei Fragen rund um Bestellungen und Versand "
    for size, char in enumerate(text):
        if char.isspace():
            assert echo().hold(text[: size + 1]) == size + 1


def guard_of(action: Action, prompt: str = PROMPT) -> StreamGuard:
    pack = Pack("own", detectors={"echo": DetectorConfig(action=action, options={"words": 16})})
    policy = bound(compile_pack(pack, ()), (Segment("/messages/0/content", Origin.SYSTEM, prompt),))
    return StreamGuard(policy, lambda segment, findings: [], b"key")


@given(st.integers(1, 40))
def test_nothing_of_an_echo_leaves_a_stream(size: int) -> None:
    guard = guard_of(Action.BLOCK)
    answer = f"Sure thing! {PART} Bye now, and thanks."
    sent = "".join(
        guard.feed(Delta("0", "/choices/0/delta/content", Origin.ASSISTANT, answer[at : at + size]))
        for at in range(0, len(answer), size)
    ) + guard.finish("0")
    assert guard.stopped is not None and guard.stopped.rule == "echo.system_prompt"
    assert sent == "Sure thing! "


def test_a_policy_without_echo_is_not_touched() -> None:
    policy = compile_pack(Pack("own", detectors={"canary": DetectorConfig()}), ())
    assert bound(policy, REQUEST) is policy
    with_echo = compile_pack(Pack("own", detectors={"echo": DetectorConfig()}), ())
    assert bound(with_echo, REQUEST[1:]) is with_echo
    assert bound(with_echo, REQUEST).plan(Direction.INPUT, "before") is with_echo.plan(Direction.INPUT, "before")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"words": 3}, {"word": 30}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="words"):
        build(options, ())
