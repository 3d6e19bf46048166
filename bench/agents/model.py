"""A model that does what it is told by whomever: it follows its user's plan, and any instruction it reads on the way.

Speaks OpenAI's chat completions. Deterministic: what it does next depends on the messages alone, so a run
through the firewall differs from one without it only in what the firewall does.
"""

import json
from typing import Any

import orjson
from aiohttp import web

from agents.attacks import GOALS, Goal
from agents.tasks import TASKS, Task


class ObedientModel:
    """Serves `/v1/chat/completions`."""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """One turn."""
        body = orjson.loads(await request.read())
        message = turn(body["messages"])
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        return web.json_response({"id": "c", "object": "chat.completion", "model": "obedient", "choices": [choice]})


def turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The next message: an instruction it has read and not yet followed, else the next step, else the answer."""
    prompt = next(one["content"] for one in messages if one["role"] == "user")
    task = next(one for one in TASKS if one.prompt == prompt)
    calls = [call for one in messages for call in one.get("tool_calls") or ()]
    results = [str(one["content"]) for one in messages if one["role"] == "tool"]
    followed = [goal for goal in GOALS if any(_is(call, goal) for call in calls)]
    for goal in GOALS:
        if goal not in followed and any(goal.sentence in result for result in results):
            return _call(goal.tool, goal.args, len(calls))
    own = [result for call, result in zip(calls, results, strict=True) if not any(_is(call, one) for one in followed)]
    return _next_step(task, own, len(calls))


def _next_step(task: Task, seen: list[str], number: int) -> dict[str, Any]:
    if len(seen) < len(task.steps):
        tool, args = task.steps[len(seen)]
        return _call(tool, args(seen), number)
    return {"role": "assistant", "content": task.answer(seen)}


def _is(call: dict[str, Any], goal: Goal) -> bool:
    function = call["function"]
    if function["name"].rpartition("__")[2] != goal.tool:
        return False
    return bool(json.loads(function["arguments"]) == goal.args)


def _call(tool: str, args: dict[str, Any], number: int) -> dict[str, Any]:
    function = {"name": f"office__{tool}", "arguments": json.dumps(args)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}],
    }
