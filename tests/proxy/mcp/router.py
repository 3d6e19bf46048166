"""A program at 2026-07-28 whose tool wants an argument in a header. Lists slowly or never, and changes when told."""

import json
import sys


def main() -> None:
    """Answers line by line; `lists` counts the questions for tools."""
    lists, header, mute = 0, "Region", "mute" in sys.argv

    def say(**message: object) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    for line in sys.stdin:
        message = json.loads(line)
        method, params = message.get("method"), message.get("params", {})
        if method == "server/discover":
            result: dict = {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "router", "version": "1"},
                "ttlMs": 0,
                "cacheScope": "private",
            }
        elif method == "tools/list":
            lists += 1
            if mute:
                continue
            result = page(params.get("cursor"), header)
        elif method == "tools/call":
            arguments = params.get("arguments", {})
            if "header" in arguments:
                header = arguments["header"]
                if arguments.get("tell"):
                    say(method="notifications/tools/list_changed")
            result = {"content": [{"type": "text", "text": json.dumps({"lists": lists, "got": arguments})}]}
        else:
            continue
        say(id=message["id"], result={"resultType": "complete", **result})


def page(cursor: str | None, header: str) -> dict:
    """One of two pages of tools."""
    cache = {"ttlMs": 0, "cacheScope": "private"}
    if cursor is None:
        change = {"name": "change", "inputSchema": {"type": "object", "properties": {"header": {"type": "string"}}}}
        return {"tools": [change], "nextCursor": "more", **cache}
    properties = {
        "region": {"type": "string", "x-mcp-header": header},
        "limits": {"type": "object", "properties": {"most": {"type": "integer", "x-mcp-header": "Most"}}},
        "query": {"type": "string"},
    }
    return {"tools": [{"name": "route", "inputSchema": {"type": "object", "properties": properties}}], **cache}


if __name__ == "__main__":
    main()
