"""A canary is found however it is written, and nothing else is one."""

import base64
import codecs
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.canary import SIZE, CanaryDetector, Options, build, is_canary, new_canary
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.inspection import Inspection
from sigmaguard.memory import VerdictMemory
from sigmaguard.model import Direction, Finding, Origin, Segment, Timing
from sigmaguard.policy.compile import compile_pack
from sigmaguard.policy.pack import DetectorConfig, Pack
from sigmaguard.reading import Reading

TOKEN = new_canary(bytes(range(16)))
DETECTOR = CanaryDetector(Options())
DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "swapped": lambda token: "".join(char.upper() if at % 2 else char for at, char in enumerate(token)),
    "base64": lambda token: base64.b64encode(f"the marker is {token} ok".encode()).decode(),
    "base32": lambda token: base64.b32encode(token.encode()).decode(),
    "twice": lambda token: base64.b64encode(base64.b64encode(token.encode())).decode(),
    "hex": lambda token: token.encode().hex(),
    "percent": lambda token: "".join(f"%{ord(char):02x}" for char in token),
    "rot13": lambda token: codecs.encode(token, "rot13"),
    "rot13 in base64": lambda token: base64.b64encode(codecs.encode(token, "rot13").encode()).decode(),
    "spaced": " ".join,
    "dashed": lambda token: "-".join(token[at : at + 4] for at in range(0, len(token), 4)),
    "lines": "\n".join,
    "invisible": "\u200b".join,
    "reversed": lambda token: token[::-1],
    "reversed rot13": lambda token: codecs.encode(token, "rot13")[::-1],
    "json": lambda token: "".join(f"\\u{ord(char):04x}" for char in token),
    "markup": lambda token: f"**{token[:9]}**{token[9:]}",
    "fullwidth": lambda token: "".join(chr(ord(char) + 0xFEE0) for char in token),
    "url": lambda token: f"https://example.org/?q={urllib.parse.quote(token)}",
}


def find(detector: CanaryDetector, text: str) -> list[Finding]:
    return detector.detect((Passage(Segment("/text", Origin.ASSISTANT, text), readings(text)),))[0]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_canary_is_found_in_any_writing(disguise: str) -> None:
    before, after = "Sure, here it is: ", " and more."
    written = DISGUISES[disguise](TOKEN)
    found = find(DETECTOR, before + written + after)
    assert found and {one.rule for one in found} == {"canary.token"}
    assert all(one.start < len(before) + len(written) and one.end > len(before) for one in found)


def test_a_canary_split_over_segments_is_found() -> None:
    policy = compile_pack(Pack("own", detectors={"canary": DetectorConfig()}), ())
    segments = [
        Segment("/messages/0/content/0/text", Origin.USER, f"one {TOKEN[:11]}", message="/messages/0"),
        Segment("/messages/0/content/1/text", Origin.USER, TOKEN[11:20], message="/messages/0"),
        Segment("/messages/1/content", Origin.USER, f"{TOKEN[20:]} end", message="/messages/1"),
    ]
    inspection = Inspection(
        policy, Direction.INPUT, Timing.BEFORE, segments, VerdictMemory(10), tenant="", digest_key=b"k"
    )
    for work in inspection.work():
        inspection.run(work)
    assert {one.path for one in inspection.finish()} == {one.path for one in segments}


@given(st.binary(min_size=10, max_size=20), st.text(max_size=5))
def test_every_token_of_a_key_proves_itself_and_no_other(randomness: bytes, key: str) -> None:
    token = new_canary(randomness, key)
    assert len(token) == SIZE and is_canary(token, key) and is_canary(token.upper(), key)
    assert not is_canary(token, key + "x")
    broken = token[:8] + ("a" if token[8] != "a" else "b") + token[9:]
    assert not is_canary(broken, key)
    assert [(one.start, one.end) for one in find(CanaryDetector(Options(key=key)), token)] == [(0, SIZE)]
    assert find(CanaryDetector(Options(key=key + "x")), token) == []


@given(st.text(max_size=400))
def test_no_other_text_is_a_canary(text: str) -> None:
    assert find(DETECTOR, text) == []


PIECES = st.lists(st.sampled_from([TOKEN, TOKEN[:7], TOKEN[::-1], TOKEN[5:], " ", "and ", "-"]) | st.text(max_size=3))


@settings(deadline=None)
@given(PIECES.map("".join), st.floats(0, 1))
def test_what_is_not_held_is_final(text: str, cut: float) -> None:
    def plain(part: str) -> list[Finding]:
        return DETECTOR.detect((Passage(Segment("", Origin.ASSISTANT, part), (Reading(part),)),))[0]

    seen = text[: int(cut * len(text))]
    limit = DETECTOR.hold(seen)
    before, after = plain(seen), plain(text)
    assert [one for one in before if one.start < limit] == [one for one in after if one.start < limit]
    assert not [one for one in (*before, *after) if one.start < limit < one.end]


def test_prose_is_hardly_held() -> None:
    text = "Der Ausschuss tagt am Montag, and the board meets on Friday at noon. "
    assert max(size - DETECTOR.hold(text[:size]) for size in range(len(text))) <= 3


def test_listed_tokens_are_found_literally() -> None:
    detector = CanaryDetector(Options(tokens=("HONEY-4711-anna",)))
    assert [(one.start, one.end) for one in find(detector, "see honey4711 ANNA!")] == [(4, 18)]
    assert find(detector, "anna-1174-yenoh"[::-1].replace("4", "5")) == []
    assert detector.version != DETECTOR.version


@pytest.mark.parametrize("options", [{"tokens": ["short"]}, {"keys": "x"}, {"tokens": "abc"}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="options"):
        build(options, ())


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        new_canary(b"123")
