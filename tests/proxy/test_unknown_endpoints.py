"""Endpoints nobody knows: what they carry is inspected like everything else, and what is no text passes."""

import asyncio
from typing import Any

import orjson
import pytest

from sigmaguard.model import Mode, Subject
from sigmaguard.policy.pack import Limits
from sigmaguard_proxy.embedded import FixedDirectory
from sigmaguard_proxy.ports import Caller, Identity, Secret
from tests.engine.fakes import blocks, masks, policy_of
from tests.proxy.scripted import Connection, Received, event, gateway, streamed, whole
from tests.proxy.test_bypasses import ATTACK, KEY, policy

UNKNOWN = "/v1/unknown"
GEMINI, OLLAMA, COHERE = "/v1beta/models/gemini-2.0-flash:generateContent", "/api/chat", "/v2/chat"
POLICY = policy_of(blocks("forbidden"), masks("swordfish"))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def multipart(name: str, value: str, filename: str = "") -> tuple[bytes, dict[str, str]]:
    """A form of one field, and the header that goes with it."""
    file = f'; filename="{filename}"' if filename else ""
    body = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n--b--\r\n'
    return body.encode(), {"Content-Type": "multipart/form-data; boundary=b"}


def said(text: str) -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """A text in the bodies of endpoints that have no codec."""
    gemini = {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": {"temperature": 1}}
    ollama = {"model": "llama3", "messages": [{"role": "user", "content": text}], "stream": True}
    bedrock = {"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": [{"text": text}]}]}
    batch = orjson.dumps({"custom_id": "1", "body": {"messages": [{"role": "user", "content": text}]}}) + b"\n"
    json: dict[str, tuple[str, object]] = {
        "any_field": (UNKNOWN, {"a": [{"b": text}]}),
        "a_bare_string": (UNKNOWN, text),
        "an_array": (UNKNOWN, [[text]]),
        "gemini": (GEMINI, gemini),
        "ollama": (OLLAMA, ollama),
        "ollama_generate": ("/api/generate", {"model": "llama3", "prompt": text}),
        "cohere": (COHERE, {"model": "command-r", "messages": [{"role": "user", "content": text}]}),
        "bedrock": ("/model/anthropic.claude-v2/invoke", bedrock),
        "thread": ("/v1/threads/thread_abc123/messages", {"role": "user", "content": text}),
        "tool_result": (UNKNOWN, {"role": "tool", "content": text}),
        "identifier": (UNKNOWN, {"thread_id": text}),
    }
    cases: dict[str, tuple[str, bytes, dict[str, str]]] = {
        name: (path, orjson.dumps(body), {}) for name, (path, body) in json.items()
    }
    a_string = orjson.dumps({"a": text})
    cases |= {
        "labelled_as_bytes": (UNKNOWN, a_string, {"Content-Type": "application/octet-stream"}),
        "labelled_as_a_picture": (UNKNOWN, a_string, {"Content-Type": "image/png"}),
        "without_a_label": (UNKNOWN, a_string, {"Content-Type": ""}),
        "labelled_as_a_form": (UNKNOWN, a_string, FORM),
        "json_with_a_comment": (UNKNOWN, b'{"a": ' + orjson.dumps(text) + b", /* */ }", {}),
        "nan_beside": (UNKNOWN, b'{"a": ' + orjson.dumps(text) + b', "b": NaN}', {}),
        "plain_text": (UNKNOWN, text.encode(), {"Content-Type": "text/plain"}),
        "latin_text": (UNKNOWN, f"caf\xe9 {text}".encode("latin-1"), {"Content-Type": "text/plain"}),
        "lines": (UNKNOWN, a_string + b"\n" + a_string, {"Content-Type": "application/x-ndjson"}),
        "url_form": (UNKNOWN, b"a=1&b=" + text.replace(" ", "+").encode(), FORM),
        "form_field": (UNKNOWN, *multipart("note", text)),
        "batch_file": ("/v1/files", *multipart("file", batch.decode(), "batch.jsonl")),
        "text_file": ("/v1/files", *multipart("file", text, "a.bin")),
        "multipart_of_another_kind": (UNKNOWN, text.encode(), {"Content-Type": "multipart/related; boundary=b"}),
    }
    return cases


@pytest.mark.parametrize("name", list(said("")))
async def test_an_attack_is_stopped_wherever_an_unknown_endpoint_carries_it(name: str) -> None:
    path, body, headers = said(ATTACK)[name]
    async with gateway(policy(), script=whole({"ok": True})) as gate:
        status, raw = await gate.answer(path, body, headers=headers)
        record = (await gate.recorder.after(1))[0]
        assert (status, gate.provider.received) == (403, []), raw
    assert orjson.loads(raw)["error"]["type"] == "sigmaguard_blocked"
    assert (record.protocol, record.endpoint, record.action) == ("unknown", "other", "block")


@pytest.mark.parametrize("name", [name for name in said("") if name != "latin_text"])
async def test_a_secret_does_not_leave_by_an_unknown_endpoint(name: str) -> None:
    path, body, headers = said(f"deploy with {KEY} today")[name]
    async with gateway(policy(), script=whole({"ok": True})) as gate:
        status, raw = await gate.answer(path, body, headers=headers)
        sent = gate.provider.received[0].body
    assert status == 200, raw
    assert KEY.encode() not in sent and b"deploy" in sent


async def test_only_the_edited_string_changes() -> None:
    body = b'{ "a":  "the swordfish", "n": 1.50, "b": "caf\\u00e9" }'
    async with gateway(POLICY, script=whole({})) as gate:
        await gate.answer(UNKNOWN, body)
        await gate.answer(UNKNOWN, b"x=%41&y=a+swordfish&&z", headers=FORM)
        first, second = (one.body for one in gate.provider.received)
    assert first == body.replace(b"swordfish", b"<SECRET_1>")
    assert second == b"x=%41&y=a+%3CSECRET_1%3E&&z"


async def test_what_is_masked_is_restored_in_the_answer() -> None:
    async def echo(request: Received, connection: Connection) -> None:
        text = request.json["contents"][0]["parts"][0]["text"]
        await whole({"candidates": [{"content": {"parts": [{"text": f"you said {text}"}]}}]})(request, connection)

    async with gateway(POLICY, script=echo) as gate:
        _, raw = await gate.answer(GEMINI, {"contents": [{"parts": [{"text": "a swordfish"}]}]})
        assert b"SECRET" in gate.provider.received[0].body
    assert orjson.loads(raw)["candidates"][0]["content"]["parts"][0]["text"] == "you said a swordfish"


def gemini(text: str, finish: str | None = None) -> dict[str, Any]:
    """One event of Gemini's."""
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-2.0-flash", "responseId": "abc123"}


def ollama(text: str, *, done: bool = False) -> dict[str, Any]:
    """One line of Ollama's."""
    at = "2026-11-30T10:00:00.123456Z"
    more = {"done_reason": "stop", "eval_count": 3} if done else {}
    message = {"role": "assistant", "content": text}
    return {"model": "llama3", "created_at": at, "message": message, "done": done, **more}


def line(body: object) -> bytes:
    """One line of a stream of lines."""
    return orjson.dumps(body) + b"\n"


def gemini_text(raw: bytes) -> str:
    """What a client of Gemini's reads."""
    events = [orjson.loads(one[6:]) for one in raw.split(b"\n\n") if one.startswith(b"data: {")]
    return "".join(one["candidates"][0]["content"]["parts"][0]["text"] for one in events if "candidates" in one)


def ollama_text(raw: bytes) -> str:
    """What a client of Ollama's reads; every line must be one that it can."""
    lines = [orjson.loads(one) for one in raw.splitlines()]
    assert all(one["message"]["role"] == "assistant" for one in lines if "error" not in one)
    assert not any(one.get("done") for one in lines[:-1])
    return "".join(one["message"]["content"] for one in lines if "error" not in one)


LINES = "application/x-ndjson"
STREAMS = {
    "gemini": (lambda one: event(gemini(one)), event(gemini("", "STOP")), "text/event-stream", gemini_text),
    "ollama": (lambda one: line(ollama(one)), line(ollama("", done=True)), LINES, ollama_text),
}


@pytest.mark.parametrize("name", list(STREAMS))
async def test_a_streamed_answer_passes_as_it_came(name: str) -> None:
    write, last, kind, read = STREAMS[name]
    pieces = [*map(write, ["Hel", "lo ", "wor", "ld. "]), last]
    async with gateway(policy_of(), script=streamed(pieces, content_type=kind)) as gate:
        assert await gate.answer(UNKNOWN, {"q": "hi"}) == (200, b"".join(pieces))
    async with gateway(policy(), script=streamed(pieces, content_type=kind)) as gate:
        _, raw = await gate.answer(UNKNOWN, {"q": "hi"})
    assert read(raw) == "Hello world. "


@pytest.mark.parametrize("name", list(STREAMS))
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
async def test_a_secret_in_pieces_does_not_leave_whatever_the_chunks(name: str, size: int) -> None:
    write, last, kind, read = STREAMS[name]
    stream = b"".join([*map(write, ["the key is ", KEY[:9], KEY[9:], " and", " more"]), last])
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    async with gateway(policy(), script=streamed(chunks, content_type=kind)) as gate:
        status, raw = await gate.answer(UNKNOWN, {"q": "hi"})
        record = (await gate.recorder.after(1))[0]
    text = read(raw)
    assert status == 200 and KEY[:9] not in text
    assert text.startswith("the key is [") and text.endswith("] and more")
    assert record.action == "mask"


@pytest.mark.parametrize("name", list(STREAMS))
async def test_a_masked_value_comes_back_in_a_stream(name: str) -> None:
    write, last, kind, read = STREAMS[name]
    pieces = [*map(write, ["you said <SEC", "RET_", "1>, yes"]), last]
    async with gateway(POLICY, script=streamed(pieces, content_type=kind)) as gate:
        _, raw = await gate.answer(UNKNOWN, {"q": "a swordfish"})
    assert read(raw) == "you said swordfish, yes"


@pytest.mark.parametrize("name", list(STREAMS))
async def test_a_stream_that_turns_bad_ends_with_an_error(name: str) -> None:
    write, last, kind, read = STREAMS[name]
    pieces = [*map(write, ["it is ", "forb", "idden to", " say"]), last]
    async with gateway(POLICY, script=streamed(pieces, content_type=kind)) as gate:
        _, raw = await gate.answer(UNKNOWN, {"q": "hi"})
        record = (await gate.recorder.after(1))[0]
    assert read(raw) == "it is "
    assert b'"sigmaguard_blocked"' in raw and b"forb" not in raw
    assert (record.action, record.rule) == ("block", "test.bad")


ANSWERS: dict[str, tuple[bytes, str]] = {
    "json": (orjson.dumps({"generations": [{"text": f"key {KEY}"}]}), "application/json"),
    "array": (orjson.dumps([gemini(f"key {KEY}")]), "application/json"),
    "text": (f"key {KEY}".encode(), "text/plain"),
    "latin_text": (f"caf\xe9 key {KEY}".encode("latin-1"), "text/plain"),
    "file": (f"key {KEY}".encode(), "application/octet-stream"),
    "lines_with_a_length": (line({"a": f"key {KEY}"}) * 2, "application/jsonl"),
    "json_with_nan": (b'{"a": "key ' + KEY.encode() + b'", "b": NaN}', "application/json"),
}


@pytest.mark.parametrize("name", list(ANSWERS))
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_secret_in_an_answer_is_masked(name: str, method: str) -> None:
    body, kind = ANSWERS[name]
    async with gateway(policy(), script=whole(body, content_type=kind)) as gate:
        status, raw = await gate.answer(
            "/v1/files/file-abc123/content", b"" if method == "POST" else None, method=method
        )
    assert status == 200 and KEY.encode() not in raw and b"key " in raw


@pytest.mark.parametrize("kind", ["text/plain-stream", "text/event-stream"])
async def test_a_stream_of_plain_text_is_read(kind: str) -> None:
    pieces = [f"data: {one}\n\n".encode() for one in ("the key is", f" {KEY[:9]}", f"{KEY[9:]}", " \u00fcber")]
    async with gateway(policy(), script=streamed([*pieces, b"data: [DONE]\n\n"], content_type=kind)) as gate:
        _, raw = await gate.answer(UNKNOWN, {"q": "hi"})
    assert raw.endswith(b"data: [DONE]\n\n") and "über".encode() in raw
    if kind == "text/event-stream":
        assert KEY[:9].encode() not in raw


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_requests_without_a_body_pass(method: str) -> None:
    async with gateway(policy(), script=whole({"id": "batch_1", "status": "cancelling"})) as gate:
        status, raw = await gate.answer("/v1/batches/batch_abc123/cancel", b"", method=method)
    assert (status, orjson.loads(raw)["status"]) == (200, "cancelling")


async def test_what_is_no_text_passes_and_is_recorded_as_not_inspected() -> None:
    body, answer = b"\x89PNG\r\n\x1a\n\x00\xff not json" * 10, b"\xffanswer"
    async with gateway(POLICY, script=whole(answer, content_type="application/x-thing")) as gate:
        assert await gate.answer("/v1/files", body, headers={"Content-Type": "image/png"}) == (200, answer)
        assert gate.provider.received[0].body == body
        record = (await gate.recorder.after(1))[0]
    assert ("words", "not_run") in record.outcomes


async def test_a_large_upload_goes_on_as_it_comes_but_a_large_text_does_not() -> None:
    small = policy_of(blocks("forbidden"), limits=Limits(request_bytes=1_000))
    binary = b"GGUF\x03\x00\x00\x00\xff\xfe" * 50_000
    types = {"Content-Type": "application/octet-stream"}
    async with gateway(small, script=whole({})) as gate:
        assert (await gate.answer("/api/blobs/sha256:ab", binary, headers=types))[0] == 200
        assert gate.provider.received[0].body == binary
        for body in (orjson.dumps({"a": "x" * 2_000}), b'{"a": "' + binary + b'"}', b"x" * 2_000):
            status, raw = await gate.answer(UNKNOWN, body, headers=types)
            assert (status, orjson.loads(raw)["error"]["code"]) == (413, "body_too_large"), body[:9]
            assert "limits.request_bytes" in orjson.loads(raw)["error"]["message"]
        status, _ = await gate.answer(UNKNOWN, binary, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert status == 413
        assert len(gate.provider.received) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"a": "x", "a": "forbidden"}', "duplicate_key"),
        (b'{"a": "\xff"}', "not_utf8"),
        ('{"a": "forbidden"}'.encode("utf-16"), "not_utf8"),
        ('{"a": "forbidden"}'.encode("utf-16-le"), "not_utf8"),
        ('{"a": "forbidden"}'.encode("utf-32-be"), "not_utf8"),
        (b'["' + b"\\ud800" + b'"]', "lone_surrogate"),
        (b"[" * 5_000 + b"]" * 5_000, "too_deep"),
    ],
)
@pytest.mark.parametrize("label", ["application/json", "application/octet-stream"])
async def test_a_body_that_servers_read_in_two_ways_is_refused(body: bytes, kind: str, label: str) -> None:
    async with gateway(POLICY, script=whole({})) as gate:
        status, raw = await gate.answer(UNKNOWN, body, headers={"Content-Type": label})
        assert (status, orjson.loads(raw)["error"]["code"]) == (400, kind)
        assert gate.provider.received == []


async def test_errors_are_anthropics_for_those_who_speak_it() -> None:
    async with gateway(POLICY) as gate:
        headers = {"anthropic-version": "2023-06-01"}
        status, raw = await gate.answer("/v1/organizations/x", {"a": "forbidden"}, headers=headers)
    assert (status, orjson.loads(raw)["type"]) == (403, "error")


async def test_a_system_prompt_is_not_taken_for_the_users() -> None:
    """Each provider's way to say it; the same words from the user are an attack."""
    said_by_system: list[tuple[str, dict[str, Any]]] = [
        (GEMINI, {"systemInstruction": {"parts": [{"text": ATTACK}]}}),
        ("/api/generate", {"system": ATTACK, "prompt": "hi"}),
        (OLLAMA, {"messages": [{"role": "system", "content": ATTACK}]}),
        ("/v1/assistants", {"instructions": ATTACK}),
    ]
    async with gateway(policy(), script=whole({})) as gate:
        for path, body in said_by_system:
            assert (await gate.answer(path, body))[0] == 200, path


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
@pytest.mark.parametrize("name", list(STREAMS))
async def test_shadow_and_off_pass_every_byte(mode: Mode, name: str) -> None:
    write, last, kind, _ = STREAMS[name]
    pieces = [*map(write, ["it is ", "forb", "idden to", " say swordfish"]), last]
    body = b'{ "a": "forbidden swordfish", "a": 1 }'
    async with gateway(POLICY, mode, script=streamed(pieces, content_type=kind)) as gate:
        for sent in (body, b'{"a":  "swordfish forbidden"}', b"\xff\x00{", b""):
            status, raw = await gate.answer(UNKNOWN, sent)
            assert (status, raw) == (200, b"".join(pieces))
            assert gate.provider.received[-1].body == sent
        records = await gate.recorder.after(4)
    assert {record.action for record in records} == {"allow"}
    assert records[1].intended == ("block" if mode is Mode.SHADOW else "allow")


async def test_each_line_leaves_when_it_comes() -> None:
    heard = asyncio.Event()

    async def script(request: Received, connection: Connection) -> None:
        await connection.head(200, {"Content-Type": LINES, "Transfer-Encoding": "chunked"})
        await connection.chunk(line(ollama("first words and ")))
        async with asyncio.timeout(20):
            await heard.wait()
        await connection.chunk(line(ollama("more", done=True)))
        await connection.end()

    async with gateway(POLICY, script=script) as gate, gate.call(OLLAMA, {"q": "hi"}) as answer:
        first = await answer.content.readline()
        heard.set()
        assert ollama_text(first + await answer.read()) == "first words and more"


async def test_a_restricted_key_may_use_only_its_models_there_too() -> None:
    async with gateway(POLICY, script=whole({})) as gate:
        await gate.answer(OLLAMA, ollama_request := {"model": "llama3", "messages": []})
        record = (await gate.recorder.after(1))[0]
    assert record.model == ollama_request["model"]


class OneModel(FixedDirectory):
    """A key for one model."""

    def identify(self, caller: Caller, exchange: str) -> Identity:
        """The same for everybody."""
        return Identity(Subject("acme", "", "key-1"), self.policy, self.mode, Secret(""), models=frozenset({"llama3"}))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("path", [OLLAMA, "/v1/chat/completions"])
async def test_a_key_for_one_model_is_for_one_model_in_every_mode(mode: Mode, path: str) -> None:
    """Also where nothing is inspected, with the firewall off."""
    said = {"messages": [{"role": "user", "content": "hello"}]}
    async with gateway(POLICY, script=whole({}), directory=OneModel(POLICY, mode)) as gate:
        for body, status in (({"model": "llama3", **said}, 200), ({"model": "gpt-5", **said}, 403), (said, 403)):
            assert (await gate.answer(path, body))[0] == status
        assert [request.json["model"] for request in gate.provider.received] == ["llama3"]
