"""The `mcp:` section of `sigmaguard.yaml`, parsed. Knows names, units and defaults; starts nothing."""

import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.policy.load import convert

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_REFERENCE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One MCP server: `url` (streamable HTTP), or `command` with `args`, `env` and `cwd` (stdio).

    `headers` are sent with every request and win over the caller's; `env:NAME` in a header or an `env`
    value is replaced by that environment variable. `pass_authorization` hands the caller's own
    `Authorization` on (OAuth); the caller then names its Sigmaguard key in `x-sigmaguard-key`.
    `mask_results: false` leaves what a policy masks in results as it is, for agents whose LLM traffic
    goes through Sigmaguard, too: there the values are masked where they leave and restored on the way
    back, so the agent's user sees them. `allow_tools` and `deny_tools` are name patterns; empty allows
    all. `timeout_s` is how long a request may go without a sign of life, `start_timeout_s` how long a
    process may take to answer its first message. `message_bytes` bounds one message, `messages_per_s`
    what a server may send on average (bursts of ten seconds' worth), `sessions` the processes (stdio)
    or open streams at once.
    """

    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    headers: dict[str, str] = {}
    pass_authorization: bool = False
    mask_results: bool = True
    allow_tools: tuple[str, ...] = ()
    deny_tools: tuple[str, ...] = ()
    timeout_s: float = 120.0
    start_timeout_s: float = 20.0
    message_bytes: int = 4 * 1024 * 1024
    messages_per_s: float = 100.0
    sessions: int = 64


class McpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every MCP server by name. `origins` are the web origins that may call the gateway from a browser."""

    servers: dict[str, ServerSettings] = {}
    origins: tuple[str, ...] = ()


def parse_mcp(raw: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> McpSettings:
    """The section with its `env:` references replaced. Raises ConfigError naming the place."""
    settings = convert(dict(raw), McpSettings, "mcp")
    known = os.environ if environ is None else environ
    servers = {name: _server(name, one, known) for name, one in settings.servers.items()}
    return msgspec.structs.replace(settings, servers=servers)


def _server(name: str, server: ServerSettings, environ: Mapping[str, str]) -> ServerSettings:
    where = f"mcp.servers.{name}"
    if not _NAME.fullmatch(name) or "__" in name:
        raise ConfigError(f"{where}: a name is lower-case letters, digits, `-` and single `_`, at most 32")
    if bool(server.url) == bool(server.command):
        raise ConfigError(f"{where}: give either `url` or `command`")
    if server.url and not server.url.startswith(("http://", "https://")):
        raise ConfigError(f"{where}.url: `{server.url}` is no http or https URL")
    for field in ("timeout_s", "start_timeout_s", "message_bytes", "messages_per_s", "sessions"):
        if getattr(server, field) <= 0:
            raise ConfigError(f"{where}.{field}: must be more than 0")
    return msgspec.structs.replace(
        server,
        headers=resolve(server.headers, f"{where}.headers", environ),
        env=resolve(server.env, f"{where}.env", environ),
    )


def resolve(values: Mapping[str, str], where: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Values with every `env:NAME` replaced. Raises ConfigError where a variable is not set."""

    def of(match: re.Match[str]) -> str:
        value = environ.get(match[1])
        if value is None:
            raise ConfigError(f"{where}: the environment variable {match[1]} is not set")
        return value

    return {name: _REFERENCE.sub(of, value) for name, value in values.items()}
