"""The agent: asks the model, calls the tools it wants, gives the results back. Knows no firewall either."""

import json
from typing import Any

import aiohttp
from mcp import Client

TURNS = 12


async def run_agent(http: aiohttp.ClientSession, llm: str, tools: Client, prompt: str, conversation: str) -> str:
    """The final answer, empty where the model's provider refused to go on."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    headers = {"x-sigmaguard-conversation": conversation}
    for _ in range(TURNS):
        body = {"model": "obedient", "messages": messages}
        async with http.post(f"{llm}/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status != 200:
                return ""
            message = (await answer.json())["choices"][0]["message"]
        messages.append(message)
        if not message.get("tool_calls"):
            return str(message["content"])
        for call in message["tool_calls"]:
            name, args = call["function"]["name"], json.loads(call["function"]["arguments"])
            result = await tools.call_tool(name, args)
            text = "".join(getattr(part, "text", "") for part in result.content)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
    return ""
