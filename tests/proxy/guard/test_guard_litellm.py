"""LiteLLM's real proxy, in an environment of its own, with our guard in front of a model that echoes."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sigmaguard_proxy.control.prices import load_prices
from tests.guard_plane import CODE, TICKET, GuardPlane

ROOT = Path(__file__).parents[3]
PLACES = (ROOT / ".venv" / "litellm", ROOT / "bench" / ".peers" / "litellm")  # `make setup-litellm`, `make bench-peers`
LITELLM = next((place / "bin" / "litellm" for place in PLACES if (place / "bin" / "litellm").is_file()), None)
START_S = 180.0  # LiteLLM imports for ten seconds on a free machine


class Model:
    """An OpenAI-shaped upstream that says what it was told and remembers it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.seen.append(body)
        said = "leak: " + CODE if body["messages"][-1]["content"] == "leak" else body["messages"][-1]["content"]
        message = {"role": "assistant", "content": said}
        return web.json_response(
            {
                "id": "c1",
                "object": "chat.completion",
                "created": 1,
                "model": "echo",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )


@asynccontextmanager
async def _echo() -> AsyncIterator[Model]:
    model, app = Model(), web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    model.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield model
    await runner.cleanup()


@asynccontextmanager
async def _litellm(folder: Path, config: dict[str, Any]) -> AsyncIterator[str]:
    """LiteLLM's proxy on a port of its own choosing."""
    (folder / "config.json").write_text(json.dumps(config))  # JSON is YAML
    process = await asyncio.create_subprocess_exec(
        *(str(LITELLM), "--config", str(folder / "config.json"), "--host", "127.0.0.1", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(START_S):
            while True:
                line = (await process.stdout.readline()).decode()
                assert line, f"LiteLLM ended: {await process.wait()}"
                if "Uvicorn running on" in line:
                    break
        reading = asyncio.ensure_future(_drain(process.stdout))
        yield line.split("Uvicorn running on ")[1].split()[0]
    finally:
        process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass


needs_litellm = pytest.mark.skipif(
    LITELLM is None and not os.environ.get("CI"), reason="LiteLLM is not here; `make setup-litellm` brings it"
)


@needs_litellm
async def test_litellms_own_proxy_is_guarded(guard: GuardPlane, tmp_path: Path) -> None:
    assert LITELLM is not None, "CI runs `make setup-litellm` first"
    key = "sk-" + secrets.token_hex(24)
    async with _echo() as model:
        config = {
            "model_list": [
                {
                    "model_name": "echo",
                    "litellm_params": {"model": "openai/echo", "api_base": model.url, "api_key": "sk-x"},
                }
            ],
            "guardrails": [
                {
                    "guardrail_name": "sigmaguard",
                    "litellm_params": {
                        "guardrail": "generic_guardrail_api",
                        "mode": ["pre_call", "post_call"],
                        "api_base": guard.base,
                        "default_on": True,
                    },
                }
            ],
            "litellm_settings": {"telemetry": False},
            "general_settings": {"master_key": key},
        }
        async with _litellm(tmp_path, config) as base, aiohttp.ClientSession() as session:

            async def ask(text: str) -> tuple[int, Any]:
                async with session.post(
                    f"{base}/v1/chat/completions",
                    json={"model": "echo", "messages": [{"role": "user", "content": text}]},
                    headers={"Authorization": f"Bearer {key}"},
                ) as answer:
                    return answer.status, await answer.json()

            status, said = await ask("hello")
            assert (status, said["choices"][0]["message"]["content"]) == (200, "hello")

            status, said = await ask(CODE)
            assert status in (400, 403) and "leak.launch_code" in json.dumps(said)
            assert len(model.seen) == 1  # the blocked text never reached the model

            status, said = await ask(TICKET)
            assert status == 200
            assert "123456" not in json.dumps(model.seen)  # the model saw a placeholder
            assert said["choices"][0]["message"]["content"] == TICKET  # whoever asked has it back

            status, said = await ask("leak")
            assert status in (400, 403) and "ABCDEF" not in json.dumps(said)  # an answer is guarded too

    records = guard.recorder.records
    assert {record.protocol for record in records} == {"guard.litellm"}
    assert {record.action for record in records} == {"allow", "mask", "block"}


@needs_litellm
def test_our_prices_are_those_litellm_knows() -> None:
    """Every model both know, whether ours names it or takes it for a variant, costs the same."""
    assert LITELLM is not None, "CI runs `make setup-litellm` first"
    (path,) = LITELLM.parents[1].glob("lib/python*/site-packages/litellm/model_prices_and_context_window_backup.json")
    theirs = json.loads(path.read_text())
    ours, wrong, seen = load_prices(), {}, set()
    for model, facts in theirs.items():
        if facts.get("litellm_provider") not in PROVIDERS or facts.get("mode") not in BY_TOKENS:
            continue
        price, wanted = ours.price(model), facts.get("input_cost_per_token")
        if price is None or wanted is None:
            continue
        seen.add(model.rpartition("/")[2])
        cost = (round(wanted * 1e6, 6), round((facts.get("output_cost_per_token") or 0.0) * 1e6, 6))
        if (price.input, price.output) != cost:
            wrong[model] = (price, cost)
    assert wrong == {}
    unknown = {name for name in ours.models if not any(model.startswith(name) for model in seen)}
    assert unknown == set()  # a name that prices nothing is a typing error or long gone


PROVIDERS = ("openai", "anthropic", "mistral", "gemini")
BY_TOKENS = ("chat", "responses", "embedding", "completion")
