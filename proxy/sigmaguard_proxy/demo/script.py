"""What the demo model says: an echo of what it was sent, a tool call where a tool is named. Knows no protocol."""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

PIECE = re.compile(r"\s*\S{1,8}")
VECTOR = 64  # numbers in a demo embedding


class Tool(msgspec.Struct, frozen=True):
    """A tool the caller offers: its name and the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


class Said(msgspec.Struct, frozen=True):
    """One answer: text, or calls of tools as (name, arguments)."""

    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()


def answer(last: str, role: str, tools: Sequence[Tool], schema: Mapping[str, Any] | None) -> Said:
    """What the model says to the last message: every offered tool that a user names is called, once."""
    if role == "user":
        calls = tuple((tool.name, instance(tool.schema, last)) for tool in tools if tool.name in last)
        if calls:
            return Said("", calls)
    if schema is not None:
        return Said(msgspec.json.encode(instance(schema, last)).decode())
    what = "The tool said" if role == "tool" else "You said"
    return Said(f"{what}: {last}" if last else "Hello! Say something and it comes back to you.")


def instance(schema: Mapping[str, Any], text: str) -> Any:
    """The plainest value a JSON schema allows; its strings carry `text`."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return instance(schema[key][0], text)
    match schema.get("type"):
        case "object":
            return {name: instance(inner, text) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [instance(schema["items"], text)] if "items" in schema else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text


def pieces(text: str) -> Iterator[str]:
    """The text as a model streams it: a few characters at a time, nothing lost."""
    at = 0
    for match in PIECE.finditer(text):
        yield match[0]
        at = match.end()
    if at < len(text):
        yield text[at:]


def tokens(text: str) -> int:
    """A rough count: about four characters a token."""
    return max(1, len(text) // 4)


def vector(text: str) -> list[float]:
    """A made-up embedding [VECTOR], the same for the same text."""
    digest = sha256(text.encode()).digest() * 2
    return [round((byte - 127.5) / 127.5, 6) for byte in digest[:VECTOR]]


def flat(content: Any) -> str:
    """The text of a message's content, whatever its parts are called."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return flat(content.get("text") or content.get("content") or content.get("output") or "")
    if isinstance(content, list):
        return " ".join(filter(None, (flat(part) for part in content)))
    return ""
