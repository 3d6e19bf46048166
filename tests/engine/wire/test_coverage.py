"""The guard contract: every field of every endpoint is a segment, whole or streamed, or declared opaque.

The fields come from the official SDKs' types, so a new SDK with a new field is a new cell.
"""

from typing import Any

import anthropic.types as anthropic_types
import openai.types as openai_types
import orjson
import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from openai.types import (
    completion_create_params,
    embedding_create_params,
    image_edit_params,
    image_generate_params,
    moderation_create_params,
)
from openai.types import responses as openai_responses
from openai.types.audio import (
    speech_create_params,
    transcription,
    transcription_create_params,
    transcription_stream_event,
    transcription_verbose,
    translation,
)
from openai.types.chat import chat_completion, chat_completion_chunk
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params

from sigmaguard.wire.codec import Codec
from sigmaguard.wire.registry import registry
from tests.conftest import Golden
from tests.engine.wire.shapes import Cell, cells

TEXT = "zq planted words 7f3a"  # has spaces: whatever the field is called, this is text
WORD = "zqplanted7f3a"  # could be an identifier

REQUESTS: dict[str, Any] = {
    "/v1/chat/completions": chat_params.CompletionCreateParamsBase,
    "/v1/responses": response_create_params.ResponseCreateParamsBase,
    "/v1/messages": message_create_params.MessageCreateParamsBase,
    "/v1/messages/count_tokens": message_count_tokens_params.MessageCountTokensParams,
    "/v1/completions": completion_create_params.CompletionCreateParamsBase,
    "/v1/embeddings": embedding_create_params.EmbeddingCreateParams,
    "/v1/moderations": moderation_create_params.ModerationCreateParams,
    "/v1/images/generations": image_generate_params.ImageGenerateParamsBase,
    "/v1/images/edits": image_edit_params.ImageEditParamsBase,
    "/v1/audio/speech": speech_create_params.SpeechCreateParams,
    "/v1/audio/transcriptions": transcription_create_params.TranscriptionCreateParamsBase,
}
ANSWERS: dict[str, Any] = {
    "/v1/chat/completions": chat_completion.ChatCompletion,
    "/v1/responses": openai_responses.Response,
    "/v1/messages": anthropic_types.Message,
    "/v1/completions": openai_types.Completion,
    "/v1/embeddings": openai_types.CreateEmbeddingResponse,
    "/v1/moderations": openai_types.ModerationCreateResponse,
    "/v1/models": openai_types.Model,
    "/v1/images/generations": openai_types.ImagesResponse,
    "/v1/audio/transcriptions": transcription.Transcription | transcription_verbose.TranscriptionVerbose,
    "/v1/audio/translations": translation.Translation,
}
STREAMS: dict[str, Any] = {
    "/v1/chat/completions": chat_completion_chunk.ChatCompletionChunk,
    "/v1/responses": openai_responses.ResponseStreamEvent,
    "/v1/messages": anthropic_types.RawMessageStreamEvent,
    "/v1/completions": openai_types.Completion,
    "/v1/audio/transcriptions": transcription_stream_event.TranscriptionStreamEvent,
}
# What is not text in an answer, even with spaces in it: a text's repetition token by token. In a request all is.
DECLARED = ("logprobs",)
# Identifiers that answers and events carry, read by client libraries alone.
IDENTIFIERS = ("model", ".id", "item_id", "object", "system_fingerprint", "service_tier", ".signature", "obfuscation")


def codec(endpoint: str) -> Codec:
    """The codec of a route."""
    found = registry().find("POST", endpoint)
    assert found is not None
    return found


def request_texts(endpoint: str, cell: Cell, text: str) -> dict[str, str]:
    """Where a request's texts stand."""
    return {one.path: one.text for one in codec(endpoint).decode_request(cell.build(text))}


def answer_texts(endpoint: str, cell: Cell, text: str) -> dict[str, str]:
    """Where an answer's texts stand."""
    return {one.path: one.text for one in codec(endpoint).decode_response(cell.build(text))}


def event_texts(endpoint: str, cell: Cell, text: str) -> dict[str, str]:
    """Where an event's texts stand: fragments and complete ones."""
    body = cell.build(text)
    data = orjson.dumps(body)
    frame = codec(endpoint).stream().decode(b"", str(body.get("type", "")), data)
    return {one.path: one.text for one in (*frame.deltas, *frame.wholes)}


KINDS = {
    "request": (REQUESTS, request_texts),
    "answer": (ANSWERS, answer_texts),
    "stream": (STREAMS, event_texts),
}
MATRIX = [(kind, endpoint) for kind, (table, _) in KINDS.items() for endpoint in table]


def is_declared(kind: str, label: str) -> bool:
    """Whether a field is declared to be no text."""
    identifiers = ("model",) if kind == "request" else IDENTIFIERS
    return (kind != "request" and any(part in label for part in DECLARED)) or f".{label}".endswith(identifiers)


@pytest.mark.parametrize(("kind", "endpoint"), MATRIX)
def test_a_text_in_any_field_is_found_where_it_stands(kind: str, endpoint: str) -> None:
    table, texts = KINDS[kind]
    every = cells(table[endpoint])
    assert every
    missing = [
        cell.label
        for cell in every
        if texts(endpoint, cell, TEXT).get(cell.pointer) != TEXT and not is_declared(kind, cell.label)
    ]
    assert missing == []


@pytest.mark.parametrize(("kind", "endpoint"), MATRIX)
def test_what_is_opaque_is_declared(kind: str, endpoint: str, golden: Golden) -> None:
    table, texts = KINDS[kind]
    opaque = sorted(
        cell.label
        for cell in cells(table[endpoint])
        if ">.response" not in cell.label  # an event that holds the whole answer
        and texts(endpoint, cell, WORD).get(cell.pointer) != WORD
    )
    golden.check(f"opaque/{endpoint.strip('/').replace('/', '.')}.{kind}.txt", "\n".join(opaque) + "\n")


def test_every_endpoint_is_in_the_matrix() -> None:
    served = {one.endpoint for one in registry().all()}
    assert served == {*REQUESTS, *ANSWERS} | {"/v1/images/variations"}


@pytest.mark.parametrize("endpoint", sorted({one.endpoint for one in registry().all()}))
def test_a_field_nobody_knows_is_inspected(endpoint: str) -> None:
    one = codec(endpoint)
    body = {"surprise": {"deep": [{"er": TEXT}]}, "a key with spaces in it": 1}
    for decode in (one.decode_request, one.decode_response):
        found = {segment.path: segment.text for segment in decode(body)}
        assert found["/surprise/deep/0/er"] == TEXT
        assert found["/a key with spaces in it~key"] == "a key with spaces in it"


@pytest.mark.parametrize("endpoint", sorted(STREAMS))
def test_a_field_nobody_knows_is_inspected_in_a_stream(endpoint: str) -> None:
    frame = codec(endpoint).stream().decode(b"", "", orjson.dumps({"type": "new.event", "surprise": {"x": [TEXT]}}))
    assert [one.text for one in frame.wholes] == [TEXT]
