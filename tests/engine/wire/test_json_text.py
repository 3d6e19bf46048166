"""Masks in JSON source: always valid JSON afterwards, and the values masked are whole characters."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.mask import Vault
from sigmaguard.model import Direction, Finding, Origin, Segment
from sigmaguard.wire.body import apply_edits
from sigmaguard_proxy.acting import mask
from tests.engine.fakes import policy_of
from tests.engine.wire.test_body import all_escaped, texts, values

POLICY = policy_of()
styles = st.sampled_from(
    [lambda v: orjson.dumps(v).decode(), json.dumps, all_escaped, lambda v: json.dumps(v, indent=1)]
)


def masked(source: str, *spans: tuple[int, int], vault: Vault | None = None) -> str:
    """JSON source with these spans masked as the proxy does it."""
    segment = Segment("/arguments", Origin.TOOL_CALL, source, is_json=True)
    findings = [Finding("pii.email", "d", start, end, 1.0, entity="EMAIL") for start, end in spans]
    edits = mask(segment, findings, POLICY, Vault(()) if vault is None else vault, b"k", Direction.INPUT)
    return apply_edits(source, edits)


@given(values, styles, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=3))
def test_masked_json_stays_valid_json(value: Any, style: Any, spans: list[tuple[int, int]]) -> None:
    source = style({"x": value})
    inside = [(min(span), min(max(span), len(source))) for span in spans]
    json.loads(masked(source, *(span for span in inside if span[0] < span[1])))


words = st.recursive(
    texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@given(words, styles, st.integers(0, 200), st.integers(0, 200))
def test_a_mask_in_json_can_be_undone(value: Any, style: Any, one: int, other: int) -> None:
    source = style([value, "tail"])
    start, end = min(one, other), min(max(one, other), len(source))
    vault = Vault((source,))
    result = masked(source, (start, end), vault=vault) if start < end else source
    assert json.loads(vault.restore(result, is_json=True)) == [value, "tail"]


def test_an_escape_before_a_value_is_not_part_of_it() -> None:
    source = '{"a": "x\\nbob@example.org"}'
    at = source.index("nbob")
    vault = Vault(())
    assert masked(source, (at, at + len("nbob@example.org")), vault=vault) == '{"a": "x\\n<EMAIL_1>"}'
    assert vault.restore("<EMAIL_1>") == "bob@example.org"


def test_an_escape_at_the_end_is_taken_whole() -> None:
    source = '{"a": "bob\\u0040x"}'
    assert masked(source, (7, 12)) == '{"a": "<EMAIL_1>x"}'


def test_a_number_becomes_a_string() -> None:
    source = '{"card": 4111111111111111, "b": [1]}'
    assert masked(source, (9, 25)) == '{"card": "<EMAIL_1>", "b": [1]}'
    assert masked(source, (12, 15)) == '{"card": "<EMAIL_1>", "b": [1]}'


def test_a_span_over_two_strings_is_masked_in_each() -> None:
    source = '{"a": "one", "b": "two"}'
    assert json.loads(masked(source, (8, 21))) == {"a": "o<EMAIL_1>", "<EMAIL_2>": "<EMAIL_3>"} or json.loads(
        masked(source, (8, 21))
    ) == {"a": "o<EMAIL_1>", "<EMAIL_2>": "<EMAIL_3>o"}
