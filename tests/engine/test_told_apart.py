"""Values whose telling word stands in the part or message before: found as if it were one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.model import Action, Direction, Finding, Origin, Segment
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.pack import DetectorConfig, Pack
from sigmaguard.scanning import Scanner
from sigmaguard_policies import policies_root

LEAKS = Pack("told", detectors={"leaks": DetectorConfig(action=Action.MASK)})
SCANNER = Scanner(PolicyLoader(policies_root()).compile(LEAKS), memory_entries=2)
TOLD = [
    ("The new password is ", "N7aFa49QVMd!", ", tell nobody."),
    ("Das Passwort lautet ", "kJ6ix39kXGr5eO", " und gilt ab morgen."),
    ("passwort: ", "LKJQlExsNXqIL3Y", "\nBenutzer: anna"),
    ("DB_PASSWORD=", "TzSXbIK0Jq_6i", "\n"),
    ('api_key = "', "ZzQ81nDk4mWxT0bVr7LpYc2e", '"'),
    ("Authorization: Bearer ", "ALZzDU5puXmEjXWCP4pV1Eoy2rQp5WuYoXJSsrP9", ""),
    ("Hier der API-Schlüssel: ", "q8ZrT5vBn2KmXw7LcYd4HsJ9GfPa3EuR", " Gruß"),
]
told = st.sampled_from(TOLD)
filler = st.integers(0, 90).map(lambda count: "Some words. " * count)


def parts(texts: list[str], origin: Origin, *, is_one_message: bool) -> list[Segment]:
    """Texts as parts of one message, or as messages of one speaker."""
    return [
        Segment(f"/{at}", origin, text, message="/m" if is_one_message else f"/{at}") for at, text in enumerate(texts)
    ]


def seen(texts: list[str], findings: tuple[Finding, ...]) -> set[tuple[int, int]]:
    """Every code point that a finding covers: (text, place)."""
    assert all(finding.end <= len(texts[int(finding.path[1:])]) for finding in findings)
    return {(int(one.path[1:]), at) for one in findings for at in range(one.start, one.end)}


@given(told, filler, filler, st.sampled_from([Origin.USER, Origin.TOOL_RESULT]), st.booleans(), st.data())
def test_a_told_secret_is_covered_wherever_the_text_is_split(
    line: tuple[str, str, str], before: str, after: str, origin: Origin, is_one_message: bool, data: st.DataObject
) -> None:
    told, value, rest = line
    text = before + told + value + rest + " " + after
    start = len(before) + len(told)
    at = data.draw(st.integers(len(before), start + len(value)))
    texts = [text[:at], text[at:]]
    result = SCANNER.scan_segments(parts(texts, origin, is_one_message=is_one_message), Direction.INPUT)
    wanted = {(0, place) if place < at else (1, place - at) for place in range(start, start + len(value))}
    assert wanted <= seen(texts, result.findings)


@given(told, filler, st.booleans())
def test_a_secret_in_one_text_is_found_once(line: tuple[str, str, str], before: str, is_one_message: bool) -> None:
    """A neighbour adds nothing to what a text shows by itself."""
    text = "".join(line) + " Regards."
    alone = SCANNER.scan_segments(parts([text], Origin.USER, is_one_message=True), Direction.INPUT)
    texts = [before + "Hello.", text, "Thanks! " + before]
    beside = SCANNER.scan_segments(parts(texts, Origin.USER, is_one_message=is_one_message), Direction.INPUT)
    assert [("/1", one.rule, one.start, one.end) for one in alone.findings] == [
        (one.path, one.rule, one.start, one.end) for one in beside.findings
    ]


@pytest.mark.parametrize("is_one_message", [True, False])
def test_a_password_given_in_the_next_turn_is_acted_on(is_one_message: bool) -> None:
    texts = ["Here is the password:", "N7aFa49QVMd!"]
    result = SCANNER.scan_segments(parts(texts, Origin.USER, is_one_message=is_one_message), Direction.INPUT)
    assert result.action is Action.MASK
    assert (1, 0) in seen(texts, result.findings)


@pytest.mark.parametrize(
    "texts",
    [
        ["I forgot my password.", "Kubernetes-1.29 is out"],
        ["Where do I find my API key?", "request_id: 3f0c1b2a-9d4e-4f6a-8b7c-1a2b3c4d5e6f"],
        ["Das Passwort ist", "abgelaufen und muss erneuert werden"],
        ["My token is", "required for every user"],
        ["the secret:", "practice every day"],
    ],
)
def test_harmless_neighbours_stay_harmless(texts: list[str]) -> None:
    for is_one_message in (True, False):
        result = SCANNER.scan_segments(parts(texts, Origin.USER, is_one_message=is_one_message), Direction.INPUT)
        assert [one.rule for one in result.findings if one.detector == "leaks"] == []
