"""From what a caller asks to the address that is called. Knows URLs, their tricks, and a tool's rules."""

from urllib.parse import quote, unquote, urlsplit

import msgspec
from yarl import URL

from sigmaguard_proxy.egress.resolving import allowed_address
from sigmaguard_proxy.egress.settings import EgressTool, Rules
from sigmaguard_proxy.faults import FaultError, client_fault

_SAFE = "/:@!$&'()*+,;=-._~"


class Address(msgspec.Struct, frozen=True):
    """A checked address: scheme, host and port as they are called; `path` unquoted, `query` pairs in order."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: tuple[tuple[str, str], ...]

    def url(self) -> URL:
        """As a URL, quoted anew."""
        query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in self.query)
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        text = f"{self.scheme}://{host}{port}{quote(self.path, safe=_SAFE)}"
        return URL(f"{text}?{query}" if query else text, encoded=True)


def requested(tool: EgressTool, rules: Rules, method: str, below: str, url: URL) -> Address:
    """The address a request means: `below` is the raw path after the tool's name. Raises FaultError."""
    query = tuple((key, value) for key, value in url.query.items())
    if tool.url:
        base = urlsplit(tool.url)
        path = clean_path(base.path + below)
        address = Address(base.scheme, base.hostname or "", base.port, path, query)
    else:
        named = dict(query).get("url", "")
        if not named:
            raise client_fault("url_missing", "name the address: /egress/{tool}?url=https%3A%2F%2F...")
        address = parse(named)
    check(address, rules, method, own_path_from=len(unquote(urlsplit(tool.url).path).rstrip("/")) if tool.url else 0)
    return msgspec.structs.replace(address, query=_with(address.query, tool.query))


def parse(text: str) -> Address:
    """An address a caller or a redirect names. Raises FaultError where it could be read in two ways."""
    if any(char in text for char in "\\\t\r\n ") or not text.isprintable():
        raise client_fault("bad_url", "the address holds characters that URLs do not")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise client_fault("bad_url", "the address is no URL") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise client_fault("bad_url", "the address is not http or https")
    if parts.username is not None or parts.password is not None:
        raise client_fault("bad_url", "the address carries credentials")
    query = tuple(URL(f"http://x/?{parts.query}", encoded=True).query.items())
    return Address(parts.scheme, parts.hostname, port, clean_path(parts.path or "/"), query)


def clean_path(raw: str) -> str:
    """A path unquoted once. Raises FaultError where servers differ in what it means."""
    path = unquote(raw) or "/"
    again = unquote(path)
    parts = again.replace("\\", "/").split("/")
    if ".." in parts or "." in parts or "%2f" in raw.lower() or "%5c" in raw.lower() or "\\" in again:
        raise client_fault("bad_path", "the path holds dot segments or encoded slashes, which servers read differently")
    if again != path or not path.isprintable() or ";" in path:
        raise client_fault("bad_path", "the path is encoded twice or holds characters that servers read differently")
    return path if path.startswith("/") else f"/{path}"


def check(address: Address, rules: Rules, method: str, *, own_path_from: int = 0) -> None:
    """Host, literal address, method and path against the rules. Raises FaultError."""
    if not rules.allows_host(address.host):
        raise _refused(
            "host_not_allowed", f"this tool may not call that host; `{rules.where}.hosts` names those it may"
        )
    if _is_literal(address.host) and not allowed_address(address.host, rules.networks):
        raise address_refused(rules)
    path = address.path[own_path_from:] or "/"
    if not rules.allows(method, path):
        raise _refused("path_not_allowed", f"this tool may not {method} that path; `{rules.where}.allow` says which")


def address_refused(rules: Rules) -> FaultError:
    """A private address, written as such or found behind a name."""
    text = f"this tool may not reach that address; ranges in `{rules.where}.networks` allow private ones"
    return _refused("address_not_allowed", text)


def _is_literal(host: str) -> bool:
    """Whether a host is an address, which no resolver is asked about; other spellings the resolver sees."""
    return ":" in host or host.replace(".", "").isdigit()


def _with(query: tuple[tuple[str, str], ...], own: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return (*((key, value) for key, value in query if key not in own), *own.items())


def _refused(kind: str, message: str) -> FaultError:
    fault = client_fault(kind, message, 403)
    fault.kind = "permission_error"
    return fault
