"""Routes to codecs: every endpoint, whatever its spelling; what is unknown stays unknown."""

import pytest

from sigmaguard.wire.registry import plain_path, registry


@pytest.mark.parametrize("codec", registry().all(), ids=lambda one: one.endpoint)
def test_every_codec_is_found_by_its_endpoint(codec) -> None:  # type: ignore[no-untyped-def]
    assert registry().find("POST", codec.endpoint) is not None
    assert registry().find("POST", codec.endpoint).endpoint == codec.endpoint  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/v1/chat/completions/", "/v1/chat/completions"),
        ("POST", "//v1//chat/./completions", "/v1/chat/completions"),
        ("POST", "/v1/%63hat%2fcompletions", "/v1/chat/completions"),
        ("POST", "/v1/%2563hat/completions", "/v1/chat/completions"),
        ("POST", "/V1/CHAT/Completions", "/v1/chat/completions"),
        ("POST", "/v1/models/../chat/completions", "/v1/chat/completions"),
        ("POST", "/v1\\chat\\completions", "/v1/chat/completions"),
        ("POST", "/openai/deployments/x/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1beta/openai/chat/completions", "/v1/chat/completions"),
        ("POST", "/chat/completions", "/v1/chat/completions"),
        ("POST", "/openai/v1/responses", "/v1/responses"),
        ("POST", "/api/paas/v4/embeddings", "/v1/embeddings"),
        ("POST", "/v1/completions", "/v1/completions"),
        ("GET", "/v1/models/gpt-4", "/v1/models"),
        ("GET", "/v1/responses/resp_1", "/v1/responses"),
        ("GET", "/v1/chat/completions/chatcmpl_1/messages", "/v1/chat/completions"),
        ("POST", "/v1/messages/batches", "/v1/messages"),
        ("POST", "/anthropic/v1/messages", "/v1/messages"),
        ("POST", "/v1/chat/completions%3Fa", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions%23", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions%00", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions.", "/v1/chat/completions"),
        ("PUT", "/x/v1/chat/completions", "/v1/chat/completions"),
        ("QUERY", "/x/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_other_spellings_and_relatives(method: str, path: str, endpoint: str) -> None:
    found = registry().find(method, path)
    assert found is not None
    assert found.endpoint == endpoint


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/files"),
        ("GET", "/v1/fine_tuning/jobs"),
        ("POST", "/v1/threads/t/messages"),
        ("GET", "/"),
        ("POST", ""),
    ],
)
def test_what_is_unknown_stays_unknown(method: str, path: str) -> None:
    assert registry().find(method, path) is None


def test_a_plain_path_is_plain() -> None:
    for path in ("/a/b", "/v1/chat/completions", "/"):
        assert plain_path(plain_path(path)) == path
