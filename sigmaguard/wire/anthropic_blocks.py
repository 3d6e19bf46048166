"""Anthropic messages: the content blocks a message is made of. Knows no route and no stream."""

from typing import Any

from sigmaguard.model import Origin
from sigmaguard.wire import pointer
from sigmaguard.wire.fields import Collector
from sigmaguard.wire.opaque import is_sealed

_ORIGIN_OF_BLOCK = {
    "tool_use": Origin.TOOL_CALL,
    "server_tool_use": Origin.TOOL_CALL,
    "mcp_tool_use": Origin.TOOL_CALL,
    "tool_result": Origin.TOOL_RESULT,
    "mcp_tool_result": Origin.TOOL_RESULT,
    "web_search_tool_result": Origin.TOOL_RESULT,
    "web_fetch_tool_result": Origin.TOOL_RESULT,
    "code_execution_tool_result": Origin.TOOL_RESULT,
    "bash_code_execution_tool_result": Origin.TOOL_RESULT,
    "document": Origin.DOCUMENT,
    "search_result": Origin.DOCUMENT,
}


def collect_message(collector: Collector, path: str, message: Any) -> None:
    """One message of a request."""
    if not isinstance(message, dict):
        collector.text(path, message, Origin.USER)
        return
    role = message.get("role")
    role = role if isinstance(role, str) else "user"
    origin = Origin.ASSISTANT if role == "assistant" else Origin.SYSTEM if role == "system" else Origin.USER
    content = message.get("content")
    if isinstance(content, list):
        for at, block in enumerate(content):
            collect_block(collector, f"{path}/content/{at}", block, origin, role, path)
    else:
        collector.text(f"{path}/content", content, origin, role, path)
    for key, value in message.items():
        if key != "content":
            collector.walk(path, {key: value}, origin, role, path)


def collect_block(collector: Collector, path: str, block: Any, origin: Origin, role: str, message: str) -> None:
    """One content block and the blocks inside it."""
    if not isinstance(block, dict):
        collector.text(path, block, origin, role, message)
        return
    kind = block.get("type")
    origin = _ORIGIN_OF_BLOCK.get(kind, origin) if isinstance(kind, str) else origin
    for key, value in block.items():
        place = f"{path}/{pointer.escape(key)}"
        if key == "data" and kind == "redacted_thinking" and type(value) is str and is_sealed(value):
            continue  # redacted thinking is encrypted by the provider: nobody but it can read or write it
        if key == "input":
            collector.walk(place, value, Origin.TOOL_CALL, role, message, frozenset())
        elif key == "content" and isinstance(value, list):
            for at, inner in enumerate(value):
                collect_block(collector, f"{place}/{at}", inner, origin, role, message)
        else:
            collector.walk(path, {key: value}, origin, role, message)
