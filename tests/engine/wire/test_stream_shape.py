"""Frames told by their shape mean what the codec says they mean, whatever stands in them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import WireError
from sigmaguard.wire.codec import Frame, StreamCodec
from sigmaguard.wire.registry import registry
from sigmaguard.wire.sse import SseDecoder, SseEvent
from sigmaguard.wire.stream_shape import Run, Shape

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "\n\n", '"}}', 'data: {"', "~probe~", '"content":"x"', "\\u0041", "🙂", "\x7f", "é"]
)


def chat(text: str, at: int, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}],
        "usage": None,
        **more,
    }


def completion(text: str, at: int) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": "text_completion", "choices": [{"text": text, "index": 0, "finish_reason": None}]}


def response(text: str, at: int) -> dict[str, Any]:
    body = {"type": "response.output_text.delta", "sequence_number": at, "item_id": "msg_1", "output_index": 0}
    return {**body, "content_index": 0, "delta": text, "logprobs": [], "obfuscation": "a8Xz"[: at % 5]}


def message(text: str, at: int) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def arguments(text: str, at: int) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": text}}


def padded(text: str, at: int) -> dict[str, Any]:
    return chat(text, at, obfuscation="Qq7"[: at % 4])


PROTOCOLS = {
    "chat": ("/v1/chat/completions", chat, ""),
    "padded chat": ("/v1/chat/completions", padded, ""),
    "completions": ("/v1/completions", completion, ""),
    "responses": ("/v1/responses", response, "response.output_text.delta"),
    "messages": ("/v1/messages", message, "content_block_delta"),
    "tool arguments": ("/v1/messages", arguments, "content_block_delta"),
}


def codec(path: str) -> StreamCodec:
    found = registry().find("POST", path)
    assert found is not None
    return found.stream()


def framed(body: Any, name: str, *, ascii_only: bool, spaced: bool) -> bytes:
    separators = None if spaced else (",", ":")
    data = json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode()
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: " + data + b"\n\n"


def learned(path: str, raw: bytes) -> Shape | None:
    event = SseDecoder().feed(raw)[0]
    stream = codec(path)
    return stream.shape(stream.decode(event.raw, event.event, event.data), event.data)


def taken(shape: Shape, raw: bytes) -> tuple[list[Run], SseEvent | None]:
    """Runs as far as they go, and the first event that is none."""
    decoder = SseDecoder()
    decoder.push(raw)
    runs: list[Run] = []
    while (run := decoder.run(shape)) is not None:
        runs.append(run)
    return runs, decoder.next()


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_a_shape_is_found(name: str) -> None:
    path, make, event = PROTOCOLS[name]
    for ascii_only in (True, False):
        frames = [
            framed(make(text, at), event, ascii_only=ascii_only, spaced=ascii_only) for at, text in enumerate("aé")
        ]
        shape = learned(path, frames[0])
        assert shape is not None
        runs, rest = taken(shape, frames[1] * 1 + b"data: {}\n\n")
        assert [run.texts for run in runs] == [["é"]]
        assert rest is not None and rest.raw == b"data: {}\n\n"


@given(
    st.sampled_from(list(PROTOCOLS)), st.lists(TEXTS, min_size=1, max_size=6), st.booleans(), st.booleans(), st.data()
)
def test_a_run_says_what_the_codec_says(
    name: str, texts: list[str], ascii_only: bool, spaced: bool, data: st.DataObject
) -> None:
    path, make, event = PROTOCOLS[name]
    first = framed(make("first", 0), event, ascii_only=ascii_only, spaced=spaced)
    shape = learned(path, first)
    assert shape is not None
    frames = [framed(make(text, at + 1), event, ascii_only=ascii_only, spaced=spaced) for at, text in enumerate(texts)]
    raw = bytearray(b"".join(frames))
    for _ in range(data.draw(st.integers(0, 2))):  # damage: bytes that turn up, change or go
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"\n", b"\r", b"\xff", b"z"])
        )
    runs, rest = taken(shape, bytes(raw))
    passed = b"".join(run.raw for run in runs)
    assert bytes(raw).startswith(passed)
    decoder = SseDecoder()
    expected: list[str] = []
    for one in decoder.feed(passed):  # nothing is taken for a run that the codec could not read or reads otherwise
        frame = codec(path).decode(one.raw, one.event, one.data)
        assert not frame.closes and not frame.wholes
        assert [(d.channel, d.path, d.origin, d.is_json) for d in frame.deltas] in (
            [],
            [(shape.delta.channel, shape.delta.path, shape.delta.origin, shape.delta.is_json)],
        )
        expected.append("".join(delta.text for delta in frame.deltas))
    assert decoder.finish() == []
    assert [text for run in runs for text in run.texts] == expected
    if bytes(raw) == b"".join(frames):
        assert rest is None and passed == raw


@given(
    st.sampled_from(list(PROTOCOLS)),
    st.lists(TEXTS, min_size=1, max_size=6),
    st.integers(0, 30),
    st.text(max_size=4),
    st.booleans(),
)
def test_a_rewritten_run_carries_exactly_the_text(
    name: str, texts: list[str], held: int, before: str, edited: bool
) -> None:
    path, make, event = PROTOCOLS[name]
    frames = [framed(make(text, at), event, ascii_only=False, spaced=False) for at, text in enumerate(texts)]
    shape = learned(path, framed(make("first", 0), event, ascii_only=False, spaced=False))
    assert shape is not None
    runs, _ = taken(shape, b"".join(frames))
    assert len(runs) == 1
    own = "".join(texts)
    try:
        before.encode()
    except UnicodeEncodeError:
        before = ""
    text = before + ("*" if edited else own[: max(0, len(own) - held)])
    again = SseDecoder().feed(runs[0].rewrite(text, held))
    assert len(again) == len(frames)
    got = [codec(path).decode(one.raw, one.event, one.data) for one in again]
    assert "".join(delta.text for frame in got for delta in frame.deltas) == text
    for one, frame, was in zip(again, got, SseDecoder().feed(b"".join(frames)), strict=True):
        assert one.event == was.event
        assert emptied(frame, shape) == emptied(codec(path).decode(was.raw, was.event, was.data), shape)


def emptied(frame: Frame, shape: Shape) -> str:
    """A frame's body without its text."""
    key = shape.delta.path.rpartition("/")[2]

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: "" if name == key and isinstance(inner, str) else without(inner) for name, inner in value.items()
            }
        return [without(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(without(frame.body))


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a","cont\\u0065nt":"b"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],\ndata: "id":"x"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\r\n\r\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"note":"look here"}\n\n',
        b"data: [DONE]\n\n",
        b": a comment\n\n",
    ],
)
def test_frames_that_say_more_have_no_shape(raw: bytes) -> None:
    assert learned("/v1/chat/completions", raw) is None


def test_a_gap_in_the_numbers_ends_a_run() -> None:
    _, make, event = PROTOCOLS["responses"]
    frames = [framed(make("x", at), event, ascii_only=False, spaced=False) for at in (4, 5, 7, 8)]
    shape = learned("/v1/responses", frames[0])
    assert shape is not None
    runs, _ = taken(shape, b"".join(frames))
    assert [(len(run.texts), run.number) for run in runs] == [(2, 5), (2, 8)]


def test_a_string_that_ends_early_is_left_to_the_codec() -> None:
    _, make, event = PROTOCOLS["chat"]
    good = framed(make("x", 0), event, ascii_only=False, spaced=False)
    shape = learned("/v1/chat/completions", good)
    assert shape is not None
    early, late = good.replace(b'"x"', b'"a","b"'), good.replace(b'"x"', b'"c\\"')
    for raw in (early + late + good, good + early, good + late + good):
        runs, rest = taken(shape, raw)
        assert sum(len(run.texts) for run in runs) == (raw.startswith(good))
        assert rest is not None and rest.raw != good


def test_what_is_not_json_is_left_to_the_codec() -> None:
    _, make, event = PROTOCOLS["chat"]
    good = framed(make("x", 0), event, ascii_only=False, spaced=False)
    shape = learned("/v1/chat/completions", good)
    assert shape is not None
    bad = good.replace(b'"x"', b'"\\ud800"')
    runs, rest = taken(shape, good + bad + good)
    assert [len(run.texts) for run in runs] == [1]
    assert rest is not None and rest.raw == bad
    with pytest.raises(WireError):
        codec("/v1/chat/completions").decode(rest.raw, rest.event, rest.data)
