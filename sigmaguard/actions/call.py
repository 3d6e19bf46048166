"""One call of a tool, wherever it was seen. A value: no wire format, no judgement."""

from hashlib import sha256

import msgspec
import orjson


class ToolCall(msgspec.Struct, frozen=True):
    """A call: `tool` as the caller names it, `server` where it is an MCP server's or an egress tool's.

    `args` are the parsed arguments; None where they are no JSON object. `path` is the JSON pointer of
    the arguments in the body, `channel` the stream channel they arrived on.
    """

    tool: str
    args: dict[str, object] | None
    server: str = ""
    path: str = ""
    channel: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that patterns are matched against: `tool`, and `server/tool` where there is a server."""
        return (self.tool, f"{self.server}/{self.tool}") if self.server else (self.tool,)


def base_name(tool: str) -> str:
    """The name without what frameworks put before it (`mcp__git__status`, `git.status`, `git/status`)."""
    for separator in ("__", "/", "."):
        tool = tool.rpartition(separator)[2] or tool
    return tool


def call_digest(call: ToolCall) -> bytes:
    """The same for the same call seen in an answer and on its way to the tool, whatever the prefix."""
    args = orjson.dumps(call.args or {}, option=orjson.OPT_SORT_KEYS)
    return sha256(base_name(call.tool).encode("utf-8", "surrogatepass") + b"\0" + args).digest()
