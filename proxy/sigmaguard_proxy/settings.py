"""What the server is told when it starts: flags over environment over `sigmaguard.yaml` over defaults.

Knows names, units and defaults; opens no socket and loads no policy.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from sigmaguard.errors import ConfigError
from sigmaguard.model import Mode
from sigmaguard.policy.load import convert, raw_yaml, read_text

DAY_S = 86_400.0  # longer waits are slips of the keyboard, and `inf` is none at all
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=DAY_S)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
REDIS = ("redis", "rediss", "unix")


class Upstream(msgspec.Struct, frozen=True):
    """A provider: `url` up to, not including, the endpoint's `/v1`. `key_env` names its key's variable."""

    name: str
    url: str


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of the server.

    `listen`, `admin` host:port (admin empty: no admin port). `upstreams` name -> URL; without any, the
    demo provider is started. `policy` a shipped name or a file. `mode` the start mode where the store
    holds no toggle. `data` the folder everything is kept in. `workers` processes sharing the port.
    `database_url` (SQLAlchemy) and `redis_url` empty: embedded. `require_keys` refuses callers without
    a virtual key. `connect_timeout_s`, `read_timeout_s` towards an upstream; `unread_timeout_s` how long
    a caller may take nothing of its answer before it is cut off (Linux); `drain_s` how long a shutdown
    waits for exchanges under way. `memory_entries` texts whose verdict is remembered a worker.
    `pool_threads` threads for pooled detectors a worker. `pool_queue` inspections that may wait before
    new ones are shed. `otlp_endpoint` turns tracing on. `log_exchanges` logs an event for
    every exchange, not only for blocked and failed ones. `admin_url` is the admin port as a browser
    reaches it. `oidc_*` let people sign in with an OpenID Connect provider. `mcp` and `egress` declare tool servers.
    """

    listen: str = "127.0.0.1:8003"
    admin: str = "127.0.0.1:8004"
    upstreams: dict[str, str] = {}
    policy: str = "basic"
    mode: Mode = Mode.ENFORCE
    data: str = "sigmaguard-data"
    workers: int = 1
    database_url: str = ""
    redis_url: str = ""
    require_keys: bool = False
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 300.0
    unread_timeout_s: Seconds = 300.0
    drain_s: Annotated[float, msgspec.Meta(ge=0.0, le=DAY_S)] = 20.0
    memory_entries: Count = 100_000
    pool_threads: Count = 2
    pool_queue: Count = 64
    otlp_endpoint: str = ""
    log_exchanges: bool = False
    admin_url: str = ""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_default_role: str = ""
    mcp: dict[str, Any] = {}
    egress: dict[str, Any] = {}

    def address(self, which: str) -> tuple[str, int]:
        """`listen` or `admin` as host and port. Raises ConfigError."""
        value = getattr(self, which)
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise ConfigError(f"--{which} `{value}`: write HOST:PORT, for example 127.0.0.1:8003")
        return host.strip("[]") or "127.0.0.1", int(port)


DOCUMENTED = {
    "listen": "host:port the proxy listens on",
    "admin": "host:port of the admin API, metrics and live events; empty for none",
    "upstreams": "NAME=URL of a provider, repeatable; openai and anthropic take their own endpoints",
    "policy": "off, basic, strict, or a YAML file",
    "mode": "enforce, shadow or off at first start; the stored toggle wins after that",
    "data": "folder for the database, the audit log and keys",
    "workers": "processes that share the port",
    "database_url": "SQLAlchemy URL of PostgreSQL; empty for SQLite under the data folder",
    "redis_url": "URL of Redis for what workers share; empty for none",
    "require_keys": "refuse callers without a virtual key (true or false)",
    "connect_timeout_s": "seconds to reach an upstream",
    "read_timeout_s": "seconds an upstream may stay silent",
    "unread_timeout_s": "seconds a caller may take nothing of its answer before it is cut off",
    "drain_s": "seconds a shutdown waits for exchanges under way",
    "memory_entries": "texts a worker remembers the findings of",
    "pool_threads": "threads a worker inspects with",
    "pool_queue": "inspections that may wait for a thread before new ones are shed",
    "otlp_endpoint": "OTLP/HTTP endpoint for traces and metrics; empty for none",
    "log_exchanges": "log an event for every exchange, not only for blocked and failed ones (true or false)",
    "admin_url": "URL of the admin port as a browser reaches it, for links and sign-in; empty: as listened on",
    "oidc_issuer": "issuer URL of an OpenID Connect provider people sign in with; empty for none",
    "oidc_client_id": "client id at that provider",
    "oidc_client_secret": "client secret at that provider; better given by its environment variable",
    "oidc_default_role": "role in the default tenant of a person nobody asked in; empty refuses them",
    "mcp": "MCP servers (`mcp.servers.NAME`); sigmaguard.yaml only",
    "egress": "HTTP tools (`egress.tools.NAME`); sigmaguard.yaml only",
}

# What the command line takes: not the tool servers, which are trees, nor the secret, which every process could read.
FLAGS = tuple(name for name in Settings.__struct_fields__ if name not in ("mcp", "egress", "oidc_client_secret"))


def load_settings(
    flags: Mapping[str, Any], environ: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """The settings in force. Raises ConfigError with the place and the remedy.

    `flags` holds what was given on the command line, None where a flag was not; `file` defaults to
    `sigmaguard.yaml` in the working folder, where there is one.
    """
    values: dict[str, Any] = {}
    path = file or Path("sigmaguard.yaml")
    if path.is_file():
        values.update(_from_file(path))
    elif file is not None:
        raise ConfigError(f"--config {file}: no such file")
    values.update(_from_environment(os.environ if environ is None else environ))
    for name, value in flags.items():
        if value is not None:
            values[name] = _fitting(name, value, f"--{name}")
    return _checked(convert(values, Settings, "settings", strict=False))


def _fitting(name: str, value: Any, where: str) -> Any:
    """The value as given. Raises ConfigError with its source, the choices and what the setting is."""
    try:
        convert({name: value}, Settings, where, strict=False)
    except ConfigError as error:
        raise ConfigError(f"{error} ({name}: {DOCUMENTED[name]})") from error
    return value


def _from_file(path: Path) -> dict[str, Any]:
    raw = raw_yaml(read_text(path), path.name) or {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: settings are a mapping, such as `listen: 127.0.0.1:8003`")
    for name in raw:
        if name not in Settings.__struct_fields__:
            raise ConfigError(f"{path}: unknown setting `{name}`{_nearest(str(name))}")
    return {name: _fitting(name, value, str(path)) for name, value in raw.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith("SIGMAGUARD_"):
            continue
        name = variable.removeprefix("SIGMAGUARD_").lower()
        if name in ("config", "corpora", "vault_key", "vault_key_file", "vault_path", "audit_key"):
            continue  # other parts read these themselves
        if name in ("upstream", "upstreams"):
            values["upstreams"] = parse_upstreams(value.replace(",", " ").split(), variable)
        elif name in Settings.__struct_fields__ and name not in ("mcp", "egress"):
            values[name] = _fitting(name, value, variable)
        else:
            raise ConfigError(f"{variable}: unknown setting{_nearest(name)}")
    return values


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(Settings.__struct_fields__)}"


def parse_upstreams(items: list[str], where: str = "--upstream") -> dict[str, str]:
    """`NAME=URL` items as a mapping. Raises ConfigError."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, url = item.partition("=")
        if not equals or not name or not url.startswith(("http://", "https://")):
            raise ConfigError(f"{where} `{item}`: write NAME=URL, for example openai=https://api.openai.com")
        found[name] = url.rstrip("/").removesuffix("/v1")
    return found


def _checked(settings: Settings) -> Settings:
    settings.address("listen")
    if settings.admin:
        settings.address("admin")
    if not 1 <= settings.workers <= 256:
        raise ConfigError(f"--workers {settings.workers}: between 1 and 256")
    _check_redis(settings.redis_url)
    cleaned = parse_upstreams([f"{name}={url}" for name, url in settings.upstreams.items()], "upstreams")
    return msgspec.structs.replace(settings, upstreams=cleaned)


def _check_redis(url: str) -> None:
    """Raises ConfigError; the URL may hold a password, so it is not repeated."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in REDIS and bool(parts.path if parts.scheme == "unix" else parts.netloc)
        parts.port  # noqa: B018  raises where it is no port
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigError("redis_url: write redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH")


def make_data_folder(settings: Settings) -> None:
    """Makes the folder everything is kept in. Raises ConfigError where that, or writing in it, is not possible."""
    folder = Path(settings.data)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--data {folder}: cannot be made: {reason}; choose a folder you may write to") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"--data {folder}: cannot be written to; choose another folder")
