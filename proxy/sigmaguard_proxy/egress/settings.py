"""The `egress:` section of `sigmaguard.yaml`, parsed. Knows names, units and defaults; opens nothing."""

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.policy.load import convert
from sigmaguard_proxy.mcp.settings import resolve

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_RULE = re.compile(r"(\*|[A-Z]+(?:\|[A-Z]+)*) (/\S*)")
Network = IPv4Network | IPv6Network


class EgressTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One HTTP API.

    `url` is its address, below which the caller names a path: `/egress/{tool}/path?query`. Without it
    the caller names the whole address, `/egress/{tool}?url=...`, and `hosts` (patterns such as
    `*.example.org`) says which are allowed; with it, `hosts` are those a redirect may lead to.
    `allow` are method and path rules (`GET /v1/*`, `GET|POST /items/**`): `*` is one part of a path, `**`
    any number; empty allows reading (GET and HEAD) everywhere. `headers` and `query` are added by the
    proxy and win over the caller's; `env:NAME` in them is replaced. `forward_headers` are headers of the
    caller that pass beyond the usual ones. `networks` (CIDR) are private ranges this tool may reach;
    none otherwise. `binary` allows request bodies that cannot be inspected. `trusted` results do not
    taint a conversation.
    """

    url: str = ""
    hosts: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    forward_headers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    binary: bool = False
    trusted: bool = False
    redirects: int = 5
    timeout_s: float = 30.0
    request_bytes: int = 1024 * 1024
    response_bytes: int = 8 * 1024 * 1024


class EgressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every HTTP tool by name."""

    tools: dict[str, EgressTool] = {}


class Rules:
    """The compiled `allow` of one tool. `where` is the tool's place in the settings, for what is refused."""

    def __init__(self, tool: EgressTool, where: str) -> None:
        self.where = where
        self._hosts = tuple(host.casefold() for host in tool.hosts)
        base = urlsplit(tool.url)
        self._base = (base.hostname or "").casefold()
        self._rules: list[tuple[frozenset[str], re.Pattern[str]]] = []
        for at, text in enumerate(tool.allow or ("GET|HEAD /**",)):
            match = _RULE.fullmatch(text)
            if match is None:
                raise ConfigError(f"{where}.allow[{at}]: `{text}`: write `GET /path/*` or `GET|POST /**`")
            self._rules.append((frozenset(match[1].split("|")), re.compile(_path_pattern(match[2]))))
        try:
            self.networks: tuple[Network, ...] = tuple(ip_network(one) for one in tool.networks)
        except ValueError as error:
            raise ConfigError(f"{where}.networks: {error}") from error

    def allows_host(self, host: str) -> bool:
        """Whether a host is the tool's own or among its `hosts`."""
        folded = host.casefold().rstrip(".")
        return bool(folded) and (folded == self._base or any(fnmatchcase(folded, one) for one in self._hosts))

    def allows(self, method: str, path: str) -> bool:
        """Whether a rule allows this method on this path (unquoted, without dot segments)."""
        return any(("*" in methods or method in methods) and rule.fullmatch(path) for methods, rule in self._rules)


def _path_pattern(path: str) -> str:
    parts = re.split(r"(\*\*|\*)", path)
    return "".join(".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part) for part in parts)


def parse_egress(raw: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> EgressSettings:
    """The section with its `env:` references replaced. Raises ConfigError naming the place."""
    settings = convert(dict(raw), EgressSettings, "egress")
    known = os.environ if environ is None else environ
    return EgressSettings({name: _tool(name, tool, known) for name, tool in settings.tools.items()})


def _tool(name: str, tool: EgressTool, environ: Mapping[str, str]) -> EgressTool:
    where = f"egress.tools.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name is lower-case letters, digits, `-` and `_`, at most 32")
    if not tool.url and not tool.hosts:
        raise ConfigError(f"{where}: give `url`, or `hosts` that the caller may name")
    parts = urlsplit(tool.url)
    if tool.url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username):
        raise ConfigError(f"{where}.url: `{tool.url}`: an http or https address without credentials and query")
    if any(host.strip("*.") == "" for host in tool.hosts):
        raise ConfigError(f"{where}.hosts: a pattern names at least a domain")
    for field in ("timeout_s", "request_bytes", "response_bytes"):
        if getattr(tool, field) <= 0:
            raise ConfigError(f"{where}.{field}: must be more than 0")
    Rules(tool, where)
    return msgspec.structs.replace(
        tool,
        url=tool.url.rstrip("/"),
        headers=resolve(tool.headers, f"{where}.headers", environ),
        query=resolve(tool.query, f"{where}.query", environ),
    )
