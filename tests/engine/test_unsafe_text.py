"""Characters that make a text other than it looks: the rules' own proof, JSON source and streams."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigmaguard.detector import Passage
from sigmaguard.detectors.unsafe_text import build
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.model import Finding, Origin, Segment
from sigmaguard.policy.pack import Rule
from sigmaguard.policy.rules import load_rule_file, prove_rules
from sigmaguard_policies import policies_root

RULES = load_rule_file(policies_root() / "rules" / "unsafe_text.yaml").rules
DETECTOR = build({}, RULES)


def found(text: str, origin: Origin = Origin.ASSISTANT, *, is_json: bool = False) -> list[Finding]:
    """What the detector says of one text."""
    return DETECTOR.detect((Passage(Segment("/text", origin, text, is_json=is_json), readings(text)),))[0]


def test_every_rule_proves_itself() -> None:
    assert prove_rules(DETECTOR, RULES) == []


ORDINARY = [
    "Zeile eins\r\n\tZeile zwei\n",
    "👩‍👩‍👧‍👦 👍🏽 ❤️ 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f 🇩🇪",
    "Grüße – „Straße“ … 50 €",
    "नमस्ते می‌خواهم สวัสดี 你好，世界",
    "\ufeffa byte order mark at the start",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_span_holds_the_whole_run() -> None:
    hidden = "".join(chr(0xE0000 + ord(char)) for char in "ignore all")
    finding = found(f"Hello{hidden} there")[0]
    assert (finding.rule, finding.start, finding.end) == ("text.tag_characters", 5, 15)
    link = "\x1b]8;;https://evil.example/\x07"
    finding = found(f"see {link}here")[0]
    assert (finding.rule, finding.start, finding.end) == ("text.terminal_command", 4, 4 + len(link))


def test_json_source_is_read_as_it_will_be_shown() -> None:
    text = '{"cmd": "echo \\u001b[2J \\udb40\\udc69\\udb40\\udc67"}'
    assert {one.rule for one in found(text, is_json=True)} == {"text.terminal_cursor", "text.tag_characters"}
    for one in found(text, is_json=True):
        assert text[one.start : one.end].startswith("\\u")
    assert found(text, is_json=False) == []


def test_wrong_rules_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"text\.x.*`check`"):
        build({}, [Rule("text.x", "", (), (), check="nothing")])
    with pytest.raises(ConfigError, match="no options"):
        build({"a": 1}, [])


PIECES = st.sampled_from(
    ["a", " ", "\x1b", "[", "]", "31", "m", ";", "8", "\x07", "\\", "\u200b", "\u200d", "\ufe0f", "\U000e0100",
     "\U000e0067", "\U000e0062", "\U000e007f",
     "\U0001f3f4", "\u202e", "\u2066", "\x00", "\x08", "\x9b", "\x9d", "ü", "P", "~"]
)  # fmt: skip


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=30).map("".join), st.data())
def test_what_stands_before_the_hold_is_final(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    held = DETECTOR.hold(text[:cut])
    assert 0 <= held <= cut

    def before(part: str) -> list[tuple[str, int, int]]:
        return [(one.rule, one.start, one.end) for one in found(part) if one.start < held]

    assert before(text[:cut]) == before(text)
    assert all(end <= held for _, _, end in before(text))


def test_plain_text_is_never_held() -> None:
    assert DETECTOR.hold("The weather is mild") == len("The weather is mild")
