"""A server with everything that the conformance suite asks for, on the official Python SDK. Knows no gateway.

python -m mcp_conformance.server [PORT]     over stdio where no port is given
"""

import asyncio
import base64
import json
import struct
import sys
import warnings
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from mcp_conformance.rounds import ROUNDS, asked_for_context
from mcp_conformance.schemas import DEFAULTS, ENUMS, HEADERS, NOTHING, SCHEMA_2020, USER, of

Made = types.CallToolResult
STEP_S = 0.05  # what the suite asks for between two notifications
NAME = "everything"


def _png() -> str:
    """One red pixel (RFC 2083)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")), chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def _wav() -> str:
    """A few samples of silence (RIFF, 8 kHz, 8 bit)."""
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    data = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 8) + b"\x80" * 8
    return base64.b64encode(b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data).decode()


PNG, WAV = _png(), _wav()
IMAGE = types.ImageContent(data=PNG, mime_type="image/png")


def text(said: str) -> types.TextContent:
    """A text block."""
    return types.TextContent(text=said)


def embedded(uri: str, said: str, kind: str = "text/plain") -> types.EmbeddedResource:
    """A resource inside a message."""
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=kind, text=said))


class Everything:
    """The handlers; `bus` carries what listeners are told."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        mixed = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
        self._still: Mapping[str, Made] = {
            "test_simple_text": Made(content=[text("This is a simple text response for testing.")]),
            "test_image_content": Made(content=[IMAGE]),
            "test_audio_content": Made(content=[types.AudioContent(data=WAV, mime_type="audio/wav")]),
            "test_embedded_resource": Made(
                content=[embedded("test://embedded-resource", "This is an embedded resource content.")]
            ),
            "test_multiple_content_types": Made(content=[text("Multiple content types test:"), IMAGE, mixed]),
            "test_error_handling": Made(
                content=[text("This tool intentionally returns an error for testing")], is_error=True
            ),
            "json_schema_2020_12_tool": Made(content=[text("{}")]),
            "test_headers": Made(content=[text("headers agree")]),
            "test_logging_tool": Made(content=[text("logged")]),
        }
        self._live: Mapping[str, Callable[[Any, Mapping[str, Any]], Awaitable[Any]]] = {
            "test_tool_with_logging": self._log,
            "test_logging_tool": self._log,
            "test_tool_with_progress": self._progress,
            "test_sampling": self._sample,
            "test_missing_capability": self._needs_sampling,
            "test_elicitation": lambda ctx, given: self._elicit(ctx, str(given.get("message", "")), USER),
            "test_elicitation_sep1034_defaults": lambda ctx, _: self._elicit(ctx, "Defaults", DEFAULTS),
            "test_elicitation_sep1330_enums": lambda ctx, _: self._elicit(ctx, "Enums", ENUMS),
            "test_reconnection": self._reconnect,
            "test_trigger_tool_change": self._tools_changed,
            "test_trigger_prompt_change": self._prompts_changed,
        }

    async def tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        """Every tool."""
        schemas = {
            "json_schema_2020_12_tool": SCHEMA_2020,
            "test_headers": HEADERS,
            "test_sampling": of(prompt={"type": "string"}),
            "test_elicitation": of(message={"type": "string"}),
        }
        names = dict.fromkeys((*self._still, *self._live, *ROUNDS))
        return types.ListToolsResult(
            tools=[
                types.Tool(name=name, description=f"The suite's {name}", input_schema=schemas.get(name, NOTHING))
                for name in names
            ]
        )

    async def call(self, ctx: Any, params: types.CallToolRequestParams) -> Any:
        """One call."""
        if params.name in self._live:
            return await self._live[params.name](ctx, params.arguments or {})
        if params.name in ROUNDS:
            return ROUNDS[params.name](ctx, params)
        if params.name in self._still:
            return self._still[params.name]
        raise MCPError(types.INVALID_PARAMS, f"no tool {params.name}")

    async def _log(self, ctx: Any, given: Any) -> Made:
        for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.session.send_log_message("info", said, related_request_id=ctx.request_id)
            await asyncio.sleep(STEP_S)
        return Made(content=[text("logged")])

    async def _progress(self, ctx: Any, given: Any) -> Made:
        for at in (0, 50, 100):
            await ctx.session.report_progress(at, 100)
            await asyncio.sleep(STEP_S)
        return Made(content=[text("done")])

    async def _sample(self, ctx: Any, given: Mapping[str, Any]) -> Made:
        message = types.SamplingMessage(role="user", content=text(str(given.get("prompt", ""))))
        answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
        return Made(content=[text(f"LLM response: {answer.content.text}")])

    async def _needs_sampling(self, ctx: Any, given: Any) -> Made:
        needed = types.ClientCapabilities(sampling=types.SamplingCapability())
        if not ctx.session.check_client_capability(needed):
            data = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
            raise MCPError(
                types.MISSING_REQUIRED_CLIENT_CAPABILITY,
                "sampling is needed",
                data.model_dump(by_alias=True, exclude_none=True),
            )
        return Made(content=[text("sampling is there")])

    async def _elicit(self, ctx: Any, message: str, schema: dict[str, Any]) -> Made:
        answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return Made(
            content=[text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")]
        )

    async def _reconnect(self, ctx: Any, given: Any) -> Made:
        if ctx.close_sse_stream is not None:
            await ctx.close_sse_stream()
        await asyncio.sleep(2 * STEP_S)
        return Made(content=[text("Reconnection test completed successfully")])

    async def _tools_changed(self, ctx: Any, given: Any) -> Made:
        await self.bus.publish(ToolsListChanged())
        return Made(content=[text("told")])

    async def _prompts_changed(self, ctx: Any, given: Any) -> Made:
        await self.bus.publish(PromptsListChanged())
        return Made(content=[text("told")])

    async def resources(self, ctx: Any, params: Any) -> types.ListResourcesResult:
        """Every resource."""
        kinds = {"static-text": "text/plain", "static-binary": "image/png", "watched-resource": "text/plain"}
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=f"test://{name}", name=name, description=f"The suite's {name}", mime_type=kind)
                for name, kind in kinds.items()
            ]
        )

    async def templates(self, ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        """The one template."""
        one = types.ResourceTemplate(
            uri_template="test://template/{id}/data", name="template", description="By id", mime_type="application/json"
        )
        return types.ListResourceTemplatesResult(resource_templates=[one])

    async def read(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """One resource."""
        uri, kind = str(params.uri), "text/plain"
        if uri == "test://static-binary":
            blob = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
            return types.ReadResourceResult(contents=[blob])
        if uri.startswith("test://template/") and uri.endswith("/data"):
            number, kind = uri.split("/")[3], "application/json"
            said = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
        elif uri in ("test://static-text", "test://watched-resource"):
            said = "This is the content of the static text resource."
        else:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=kind, text=said)])

    async def nothing(self, ctx: Any, params: Any) -> types.EmptyResult:
        """Done."""
        return types.EmptyResult()

    async def prompts(self, ctx: Any, params: Any) -> types.ListPromptsResult:
        """Every prompt."""
        arguments = {
            "test_simple_prompt": (), "test_prompt_with_arguments": ("arg1", "arg2"),
            "test_prompt_with_embedded_resource": ("resourceUri",), "test_prompt_with_image": (),
            "test_input_required_result_prompt": (),
        }  # fmt: skip
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(
                    name=name, description=f"The suite's {name}",
                    arguments=[types.PromptArgument(name=one, description=one, required=True) for one in wanted],
                )
                for name, wanted in arguments.items()
            ]
        )  # fmt: skip

    async def prompt(self, ctx: Any, params: types.GetPromptRequestParams) -> Any:
        """One prompt."""
        given = params.arguments or {}
        if params.name == "test_input_required_result_prompt":
            return asked_for_context(params)
        said: dict[str, list[Any]] = {
            "test_simple_prompt": [text("This is a simple prompt for testing.")],
            "test_prompt_with_arguments": [
                text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
            ],
            "test_prompt_with_embedded_resource": [
                embedded(given.get("resourceUri", "test://x"), "Embedded resource content for testing."),
                text("Please process the embedded resource above."),
            ],
            "test_prompt_with_image": [IMAGE, text("Please analyze the image above.")],
        }
        if params.name not in said:
            raise MCPError(types.INVALID_PARAMS, f"no prompt {params.name}")
        return types.GetPromptResult(
            messages=[types.PromptMessage(role="user", content=one) for one in said[params.name]]
        )

    async def complete(self, ctx: Any, params: Any) -> types.CompleteResult:
        """Suggestions."""
        return types.CompleteResult(
            completion=types.Completion(values=["paris", "park", "party"], total=3, has_more=False)
        )


class Events(EventStore):
    """Events of streams, so that a client that comes back is told what it missed."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        """Keeps one."""
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        """Sends what came after."""
        at = int(last_event_id)
        stream = self._events[at - 1][0]
        for number, (one, message) in enumerate(self._events[at:], at + 1):
            if one == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def everything() -> Server[Any]:
    """The server."""
    one = Everything()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite asks for what the newest revision calls old
        server: Server[Any] = Server(
            NAME, version="1.0", on_list_tools=one.tools, on_call_tool=one.call, on_list_resources=one.resources,
            on_list_resource_templates=one.templates, on_read_resource=one.read, on_subscribe_resource=one.nothing,
            on_unsubscribe_resource=one.nothing, on_list_prompts=one.prompts, on_get_prompt=one.prompt,
            on_completion=one.complete, on_set_logging_level=one.nothing, on_subscriptions_listen=ListenHandler(one.bus),
            get_tool_input_schema=lambda name: HEADERS if name == "test_headers" else None,
        )  # fmt: skip
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


async def stdio(server: Server[Any]) -> None:
    """Serves one client over standard input and output."""
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1:
        web = everything().streamable_http_app(event_store=Events(), retry_interval=100)
        uvicorn.run(web, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
    else:
        asyncio.run(stdio(everything()))
