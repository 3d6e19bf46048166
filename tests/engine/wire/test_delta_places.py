"""Texts at one place of successive deltas are one channel; what repeats (types, ids, indexes) is none."""

from typing import Any

import orjson
import pytest

from sigmaguard.errors import WireError
from sigmaguard.model import Origin
from sigmaguard.wire.anthropic_stream import MessagesStream
from sigmaguard.wire.codec import Frame, StreamCodec
from sigmaguard.wire.delta_places import PLACES
from sigmaguard.wire.openai_chat_stream import ChatStream
from sigmaguard.wire.openai_responses_stream import ResponsesStream
from sigmaguard.wire.openai_text_stream import TextStream


def frame_of(codec: StreamCodec, body: object) -> Frame:
    """The frame of one event that leaves as it came."""
    data = orjson.dumps(body)
    frame = codec.decode(b"data: " + data + b"\n\n", "", data)
    codec.keep(frame)
    return frame


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """A chunk of a chat."""
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


DETAIL = {"type": "reasoning.text", "id": "rs_1", "format": "f-v1", "index": 1}
DELTAS: dict[str, tuple[dict[str, Any], str]] = {
    "reasoning_details": ({"reasoning_details": [{**DETAIL, "text": "x"}]}, "0/at/reasoning_details/#1/text"),
    "content_parts": ({"content": [{"type": "text", "text": "x"}]}, "0/at/content/#/text"),
    "slash": ({"a/b": "x"}, "0/at/a~1b"),
    "tool_field": ({"tool_calls": [{"index": 2, "id": "c", "note": "x"}]}, "0/at/tool_calls/#2/note"),
    "name_of_a_channel": ({"call": "x"}, "0/at/call"),
}


@pytest.mark.parametrize("name", list(DELTAS))
def test_a_place_is_one_channel_and_its_fragment_reads_back(name: str) -> None:
    delta, channel = DELTAS[name]
    codec = ChatStream()
    frame = frame_of(codec, chunk(delta))
    assert [(one.channel, one.text) for one in frame.deltas] == [(channel, "x")]
    added = orjson.loads(codec.fragment(channel, "more")[6:])
    assert [(one.channel, one.text) for one in frame_of(ChatStream(), added).deltas] == [(channel, "more")]
    assert frame_of(codec, chunk({}, "stop")).closes == (channel,)


def test_what_comes_complete_stays_whole() -> None:
    """An annotation's address in two halves would serve nobody."""
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example/x", "title": "A page"}}
    frame = frame_of(ChatStream(), chunk({"annotations": [note]}))
    assert frame.deltas == ()
    assert sorted(one.text for one in frame.wholes) == ["A page", "https://a.example/x"]


def test_what_comes_complete_under_one_index_is_looked_at_with_what_came_before() -> None:
    """SDKs put the texts of entries with the same `index` together; those without one stay entries of their own."""
    codec = ChatStream()
    entries = [{"index": 1, "title": "a p"}, {"index": 2, "title": "b"}, {"index": 1, "title": "age"}, {"title": "c"}]
    frames = [frame_of(codec, chunk({"annotations": [one]})) for one in entries]
    assert [[one.text for one in frame.wholes] for frame in frames] == [["a p"], ["b"], ["a page"], ["c"]]
    path = frames[2].wholes[0].path
    frame = frame_of(codec, chunk({"annotations": [{"index": 1, "title": "s"}]}))
    assert b'"title":"s!"' in codec.rewrite(frame, {path: "a pages!"})
    assert b'"title":"[MASKED]"' in codec.rewrite(frame, {path: "[MASKED]"})


def test_a_function_name_is_looked_at_with_what_came_before() -> None:
    codec = ChatStream()
    frames = [
        frame_of(codec, chunk({"tool_calls": [{"index": 0, "function": {"name": part}}]})) for part in ("wea", "ther")
    ]
    assert [[one.text for one in frame.wholes] for frame in frames] == [["wea"], ["weather"]]
    path = frames[1].wholes[0].path
    assert b'"name":"ther!"' in codec.rewrite(frames[1], {path: "weather!"})


def test_a_repeated_function_name_stays_itself() -> None:
    codec = ChatStream()
    for _ in range(3):
        frame = frame_of(codec, chunk({"tool_calls": [{"index": 0, "function": {"name": "weather"}}]}))
        assert [one.text for one in frame.wholes] == ["weather"]


def test_places_are_bounded() -> None:
    codec = ChatStream()
    with pytest.raises(WireError) as raised:
        frame_of(codec, chunk({"new": {f"k{at}": "x" for at in range(PLACES + 1)}}))
    assert raised.value.kind == "too_many_places"


def test_function_names_are_bounded() -> None:
    calls = [{"index": at, "function": {"name": "x"}} for at in range(600)]
    with pytest.raises(WireError) as raised:
        frame_of(ChatStream(), chunk({"tool_calls": calls}))
    assert raised.value.kind == "too_many_calls"


OTHERS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "responses": (
        ResponsesStream,
        {"type": "response.new.delta", "item_id": "m", "delta": {"text": "x"}},
        {"type": "response.new.done", "item_id": "m"},
    ),
    "messages": (
        MessagesStream,
        {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta", "parts": [{"text": "x"}]}},
        {"type": "content_block_stop", "index": 0},
    ),
    "completions": (
        lambda: TextStream(Origin.ASSISTANT),
        {"choices": [{"index": 0, "text": [{"text": "x"}]}]},
        {"choices": [{"index": 0, "finish_reason": "stop"}]},
    ),
    "transcripts": (
        lambda: TextStream(Origin.ASSISTANT),
        {"type": "transcript.text.delta", "delta": {"text": "x"}},
        {"type": "transcript.text.done"},
    ),
}


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_protocols_have_places_too(name: str) -> None:
    make, body, end = OTHERS[name]
    codec = make()
    (delta,) = frame_of(codec, body).deltas
    added = orjson.loads(codec.fragment(delta.channel, "more").partition(b"data: ")[2])
    assert [(one.channel, one.text) for one in frame_of(make(), added).deltas] == [(delta.channel, "more")]
    assert delta.channel in frame_of(codec, end).closes


@pytest.mark.parametrize(
    ("signature", "is_sealed"),
    [
        ("/" * 64, True),
        ("gIGCg4SF" * 20, True),
        ("AKIAIOSFODNN7EXAMPLQ", False),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", False),
        ("c2VjcmV0" * 20, False),  # words in base64
        ("gIGC" + "c2VjcmV0" * 20, False),  # the same behind bytes that are none
        ("a plain text " * 9, False),
    ],
)
def test_a_signature_is_opaque_only_where_nobody_can_read_it(signature: str, is_sealed: bool) -> None:
    delta = {"type": "signature_delta", "signature": signature}
    frame = frame_of(MessagesStream(), {"type": "content_block_delta", "index": 0, "delta": delta})
    assert [one.text for one in frame.deltas] == ([] if is_sealed else [signature])
