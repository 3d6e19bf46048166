"""How each protocol says no: whole errors and the frames that end a stream, as golden files."""

import pytest

from sigmaguard.wire.codec import Codec, Refusal
from sigmaguard.wire.errors import error_body
from sigmaguard.wire.registry import registry
from sigmaguard.wire.sse import SseDecoder
from tests.conftest import Golden
from tests.e2e.wire import message_stream, response_stream, tool_stream
from tests.proxy.scripted import chat_stream, chunk_of, event

BLOCK = Refusal(403, "sigmaguard_blocked", "leak.aws_key", "Blocked by Sigmaguard.", "exc_1")
FAULT = Refusal(502, "api_error", "upstream_reset", "The upstream broke off.", "exc_1", 1.0)
BEGINNINGS = {
    "/v1/chat/completions": [*chat_stream("hello")[:2], chunk_of({"content": "hi"}, 1), chunk_of({}, 1, "stop")],
    "/v1/responses": response_stream(["hello"])[:4],
    "/v1/messages": message_stream(["hello"], ['{"a"'], "hm")[:9],
    "/v1/completions": [event({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "hello"}]})],
    "/v1/audio/transcriptions": [event({"type": "transcript.text.delta", "delta": "hello"})],
}


def codec(endpoint: str) -> Codec:
    """The codec of a route."""
    found = registry().find("POST", endpoint)
    assert found is not None
    return found


@pytest.mark.parametrize("endpoint", list(BEGINNINGS))
@pytest.mark.parametrize("is_begun", [False, True])
def test_how_a_stream_is_ended(endpoint: str, is_begun: bool, golden: Golden) -> None:
    told = []
    for refusal in (BLOCK, FAULT):
        stream = codec(endpoint).stream()
        for one in SseDecoder().feed(b"".join(BEGINNINGS[endpoint])) if is_begun else ():
            frame = stream.decode(one.raw, one.event, one.data)
            assert stream.keep(frame) == one.raw
        told.append(stream.refuse(refusal).decode())
    name = endpoint.strip("/").replace("/", ".")
    golden.check(f"refusals/{name}.{'begun' if is_begun else 'bare'}.sse", "\n".join(told))


@pytest.mark.parametrize("codec_", registry().all(), ids=lambda one: one.endpoint)
def test_how_a_request_is_refused(codec_: Codec, golden: Golden) -> None:
    told = [codec_.refusal_body(refusal).decode() for refusal in (BLOCK, FAULT)]
    kind = "anthropic" if codec_.protocol.startswith("anthropic") else "openai"
    golden.check(f"refusals/{kind}.jsonl", "\n".join(told) + "\n")
    assert error_body(BLOCK, anthropic=kind == "anthropic").decode() == told[0]


@pytest.mark.parametrize("endpoint", list(BEGINNINGS))
def test_what_is_added_to_a_channel_is_read_back_from_it(endpoint: str) -> None:
    """A fragment of ours decodes into the same channel with the same text."""
    pieces = {
        "/v1/chat/completions": [
            *chat_stream("x")[:2],
            *tool_stream("{}", "{}")[1:5],
            chunk_of({"audio": {"transcript": "x"}}),
        ],
        "/v1/responses": response_stream(["x"], ["{"])[:-2],
        "/v1/messages": message_stream(["x"], ["{"], "hm")[:-2],
    }.get(endpoint, BEGINNINGS[endpoint])
    stream = codec(endpoint).stream()
    seen = 0
    for one in SseDecoder().feed(b"".join(pieces)):
        frame = stream.decode(one.raw, one.event, one.data)
        for delta in frame.deltas:
            added = SseDecoder().feed(codec_fragment(endpoint, pieces, delta.channel))[0]
            again = codec(endpoint).stream().decode(added.raw, added.event, added.data)
            assert [(two.channel, two.text, two.is_json, two.origin) for two in again.deltas] == [
                (delta.channel, "more", delta.is_json, delta.origin)
            ]
            seen += 1
        stream.keep(frame)
    assert seen


def codec_fragment(endpoint: str, pieces: list[bytes], channel: str) -> bytes:
    """A fragment for a channel from a stream that has seen these pieces up to its first delta."""
    stream = codec(endpoint).stream()
    for one in SseDecoder().feed(b"".join(pieces)):
        frame = stream.decode(one.raw, one.event, one.data)
        if any(delta.channel == channel for delta in frame.deltas):
            return stream.fragment(channel, "more")
        stream.keep(frame)
    raise AssertionError(channel)
