"""The same verdicts in other gateways' words: Lakera, LiteLLM, Envoy."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from sigmaguard.model import Mode
from tests.guard_plane import CODE, RUMOUR, TICKET, GuardPlane, guard_plane, guard_policy

LAKERA = "/v2/guard"
LITELLM = "/beta/litellm_basic_guardrail_api"
ENVOY = "/envoy/v1/chat/completions"


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _everything(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages), "payload": True, "breakdown": True, "dev_info": True, "project_id": "p"}


class TestLakera:
    async def test_harmless(self, guard: GuardPlane) -> None:
        _, said, _ = await guard.ask(LAKERA, _everything(_user("hello"), _user(RUMOUR)))
        assert said["flagged"] is False and said["payload"] == []
        assert said["breakdown"] and not any(one["detected"] for one in said["breakdown"])
        assert said["metadata"]["request_uuid"] == guard.last().exchange
        _, brief, _ = await guard.ask(LAKERA, {"messages": [_user("hello")]})
        assert set(brief) == {"flagged", "metadata"}

    async def test_what_is_masked_is_told_as_pii_with_its_place(self, guard: GuardPlane) -> None:
        _, said, _ = await guard.ask(LAKERA, _everything(_user("hello"), _user(TICKET)))
        assert said["flagged"] is True
        assert {one["detector_type"] for one in said["breakdown"] if one["detected"]} == {"pii/ticket"}
        (found,) = said["payload"]
        assert found["message_id"] == 1
        assert TICKET[found["start"] : found["end"]] == "123456"
        assert "123456" not in json.dumps(said)

    async def test_what_is_blocked_is_never_told_as_pii(self, guard: GuardPlane) -> None:
        _, said, _ = await guard.ask(LAKERA, _everything(_user(CODE)))
        assert said["flagged"] is True
        kinds = [one["detector_type"] for one in said["breakdown"] if one["detected"]]
        assert kinds == ["data_leakage/launch_code"]  # a gateway masks pii/ and lets it pass

    async def test_the_assistants_last_words_are_on_their_way_out(self, guard: GuardPlane) -> None:
        _, said, _ = await guard.ask(LAKERA, _everything(_user("hello"), {"role": "assistant", "content": CODE}))
        assert said["flagged"] is True
        assert guard.last().output_findings and not guard.last().input_findings
        await guard.ask(LAKERA, _everything({"role": "assistant", "content": CODE}, _user("hello")))
        assert guard.last().input_findings and not guard.last().output_findings

    async def test_shadow_flags_nothing(self, guard: GuardPlane) -> None:
        guard.directory.mode = Mode.SHADOW
        _, said, _ = await guard.ask(LAKERA, _everything(_user(CODE)))
        assert said["flagged"] is False and said["payload"] == []
        assert guard.last().intended == "block"

    async def test_a_wrong_question(self, guard: GuardPlane) -> None:
        status, said, _ = await guard.ask(LAKERA, {"input": "old v1"})
        assert status == 400 and "messages" in said["error"]["message"]


def _litellm(*texts: str, **more: Any) -> dict[str, Any]:
    return {
        "input_type": "request",
        "litellm_call_id": "call-1",
        "litellm_trace_id": None,
        "texts": list(texts),
        "request_data": {"user_api_key_alias": "team"},
        "images": None,
        "tools": None,
        "tool_calls": None,
        "structured_messages": None,
        "model": "gpt-x",
        **more,
    }


class TestLiteLlm:
    async def test_none_blocked_and_intervened(self, guard: GuardPlane) -> None:
        _, said, _ = await guard.ask(LITELLM, _litellm("hello"))
        assert said == {"action": "NONE"}
        _, said, _ = await guard.ask(LITELLM, _litellm("hello", CODE))
        assert said["action"] == "BLOCKED" and "leak.launch_code" in said["blocked_reason"]
        _, said, _ = await guard.ask(LITELLM, _litellm("hello", TICKET))
        assert said == {"action": "GUARDRAIL_INTERVENED", "texts": ["hello", "please close TICKET-<TICKET_1> today"]}
        assert guard.last().model == "gpt-x"

    async def test_the_answer_to_the_same_call_is_restored(self, guard: GuardPlane) -> None:
        await guard.ask(LITELLM, _litellm(TICKET))
        answer = _litellm("closed <TICKET_1>", input_type="response")
        _, said, _ = await guard.ask(LITELLM, answer)
        assert said == {"action": "GUARDRAIL_INTERVENED", "texts": ["closed 123456"]}
        _, said, _ = await guard.ask(LITELLM, {**answer, "litellm_call_id": "another"})
        assert said == {"action": "NONE"}

    async def test_an_answer_is_judged_as_output(self, guard: GuardPlane) -> None:
        _, said, _ = await guard.ask(LITELLM, _litellm(TICKET, input_type="response"))
        assert said["texts"] == ["please close TICKET-[TICKET] today"]
        assert guard.last().output_findings

    async def test_origins_come_from_the_structured_messages(self, tmp_path: Path) -> None:
        """The same words are blocked in a tool's result and pass in a user's: the rule looks at results only."""
        folder = tmp_path / "origins"
        folder.mkdir()
        file = folder / "origins.yaml"
        file.write_text(
            "name: origins\ndetectors:\n  leaks: {action: block, origins: [tool_result]}\n"
            "custom_rules:\n  - detector: leaks\n    rules:\n"
            "      - {id: leak.magic, description: d, pattern: 'MAGIC-(?P<value>\\d{6})', keywords: [MAGIC-],\n"
            "         match: [a MAGIC-123456, MAGIC-654321 b], miss: [MAGIC, magic-1]}\n"
        )
        from sigmaguard.policy.compile import PolicyLoader
        from sigmaguard_policies import policies_root

        text = "say MAGIC-123456"
        async with guard_plane(PolicyLoader(policies_root()).load(str(file))) as guard:
            for role, action in (("user", "NONE"), ("tool", "BLOCKED")):
                message = {"role": role, "content": text, **({"tool_call_id": "c"} if role == "tool" else {})}
                messages = [_user("hello"), message]
                _, said, _ = await guard.ask(LITELLM, _litellm("hello", text, structured_messages=messages))
                assert said["action"] == action, role
            _, said, _ = await guard.ask(LITELLM, _litellm(text))
            assert said["action"] == "NONE"

    async def test_tools_are_masked_and_tool_calls_are_blocked(self, guard: GuardPlane) -> None:
        tool = {"type": "function", "function": {"name": "close", "description": TICKET, "parameters": {}}}
        _, said, _ = await guard.ask(LITELLM, _litellm("hello", tools=[tool]))
        assert said["action"] == "GUARDRAIL_INTERVENED"
        assert "123456" not in json.dumps(said) and said["tools"][0]["function"]["name"] == "close"
        call = {"id": "c", "type": "function", "function": {"name": "close", "arguments": json.dumps({"t": TICKET})}}
        _, said, _ = await guard.ask(LITELLM, _litellm("x", input_type="response", tool_calls=[call]))
        assert said["action"] == "BLOCKED" and "tool call" in said["blocked_reason"]
        assert guard.last().action == "block"

    async def test_shadow_changes_nothing(self, guard: GuardPlane) -> None:
        guard.directory.mode = Mode.SHADOW
        for text in (CODE, TICKET):
            _, said, _ = await guard.ask(LITELLM, _litellm(text))
            assert said == {"action": "NONE"}

    async def test_what_is_no_litellm_is_refused(self, guard: GuardPlane) -> None:
        status, _, _ = await guard.ask(LITELLM, {"texts": ["hello"]})
        assert status == 400


@pytest.fixture
async def careful() -> AsyncIterator[GuardPlane]:
    async with guard_plane(guard_policy(unknown="refuse")) as running:
        yield running


@pytest.fixture
async def lenient() -> AsyncIterator[GuardPlane]:
    async with guard_plane(guard_policy(on_fault="open")) as running:
        yield running


class TestEnvoy:
    async def test_ok_and_denied_in_the_callers_protocol(self, guard: GuardPlane) -> None:
        status, body, headers = await guard.ask(ENVOY, {"model": "m", "messages": [_user("hello")]})
        assert (status, body) == (200, None)
        assert headers["x-sigmaguard-verdict"] == "allow"
        status, body, headers = await guard.ask(ENVOY, {"model": "m", "messages": [_user(CODE)]})
        assert (status, body["error"]["code"]) == (403, "leak.launch_code")
        assert guard.last().endpoint == "/v1/chat/completions" and guard.last().model == "m"
        status, body, _ = await guard.ask(
            "/envoy/v1/messages", {"model": "m", "max_tokens": 5, "messages": [_user(CODE)]}
        )
        assert status == 403 and body["type"] == "error"  # Anthropic's shape

    async def test_what_would_be_masked_is_denied_and_recorded_so(self, guard: GuardPlane) -> None:
        status, body, _ = await guard.ask(ENVOY, {"model": "m", "messages": [_user(TICKET)]})
        assert status == 403 and "cannot change a body" in body["error"]["message"]
        assert (guard.last().action, guard.last().intended, guard.last().rule) == ("block", "mask", "leak.ticket")
        guard.directory.mode = Mode.SHADOW
        status, _, _ = await guard.ask(ENVOY, {"model": "m", "messages": [_user(TICKET)]})
        assert status == 200

    @pytest.mark.parametrize(
        ("body", "headers"),
        [(b"", {}), (b"{cut", {}), (b'{"messages": []}', {"x-envoy-auth-partial-body": "true"})],
    )
    async def test_what_cannot_be_inspected_obeys_the_policy(
        self, guard: GuardPlane, lenient: GuardPlane, body: bytes, headers: dict[str, str]
    ) -> None:
        status, _, _ = await guard.ask(ENVOY, body, headers=headers)
        assert status in (400, 413)
        status, _, _ = await lenient.ask(ENVOY, body, headers=headers)
        assert status == 200
        assert lenient.last().faults  # let through, and said so

    async def test_a_request_that_needs_no_body(self, guard: GuardPlane) -> None:
        status, _, _ = await guard.ask("/envoy/v1/responses/resp_1/cancel", b"")
        assert status == 200
        status, _, _ = await guard.ask("/envoy/v1/responses", b"")  # this one is only kept from us
        assert status == 400

    async def test_a_form_is_read_as_the_proxy_reads_it(self, guard: GuardPlane) -> None:
        for text, expected in (("a talk about boats", 200), (CODE, 403)):
            form = aiohttp.FormData({"model": "m", "prompt": text})
            form.add_field("file", b"RIFF", filename="a.wav")
            url = guard.base + "/envoy/v1/audio/transcriptions"
            async with guard.session.post(url, data=form) as answer:
                assert answer.status == expected, await answer.text()
            assert guard.last().model == "m"

    async def test_shadow_passes_what_is_too_large_to_be_seen(self, guard: GuardPlane) -> None:
        limits = msgspec.structs.replace(guard.directory.policy.limits, request_bytes=100)
        guard.directory.policy = replace(guard.directory.policy, limits=limits)
        body = {"model": "m", "messages": [_user("long " * 100)]}
        status, _, _ = await guard.ask(ENVOY, body)
        assert status == 413
        guard.directory.mode = Mode.SHADOW
        status, _, _ = await guard.ask(ENVOY, body)
        assert status == 200 and [one.kind for one in guard.last().faults] == ["body_too_large"]

    async def test_what_envoy_is_told_to_take_off(self, guard: GuardPlane) -> None:
        body = {"model": "m", "messages": [_user("hello")]}
        _, _, headers = await guard.ask(ENVOY, body)
        assert "x-envoy-auth-headers-to-remove" not in headers
        sent = {"Authorization": "Bearer sk-provider", "X-Sigmaguard-Agent": "billing"}
        _, _, headers = await guard.ask(ENVOY, body, headers=sent)
        assert headers["x-envoy-auth-headers-to-remove"] == "x-sigmaguard-agent"

    async def test_unknown_endpoints_obey_the_policy(self, guard: GuardPlane, careful: GuardPlane) -> None:
        status, _, _ = await guard.ask("/envoy/v9/unknown", {"a": CODE})
        assert status == 200
        status, _, _ = await careful.ask("/envoy/v9/unknown", {"a": CODE})
        assert status == 403
        status, _, _ = await guard.ask("/envoy/v1/models", b"", method="GET")
        assert status == 200

    async def test_off_parses_nothing(self, guard: GuardPlane) -> None:
        guard.directory.mode = Mode.OFF
        status, _, _ = await guard.ask(ENVOY, b"{cut")
        assert status == 200
