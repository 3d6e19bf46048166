"""Sends one checked call and follows redirects, each checked anew. Knows HTTP, no verdicts."""

from collections.abc import Mapping

import aiohttp
import msgspec
from multidict import CIMultiDict

from sigmaguard.errors import WireError
from sigmaguard_proxy.egress.address import Address, address_refused, check, parse
from sigmaguard_proxy.egress.resolving import AddressRefusedError, SafeResolver
from sigmaguard_proxy.egress.settings import EgressTool, Rules
from sigmaguard_proxy.encoding import decode_body
from sigmaguard_proxy.faults import upstream_fault

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# what an API's answer may tell its caller: no cookies, no instructions to a browser
ANSWERED = frozenset(
    {
        *("content-type", "content-language", "etag", "last-modified", "cache-control", "expires", "retry-after"),
        *("link", "content-disposition", "content-range", "accept-ranges", "allow"),
    }
)
# what a caller may tell an API; credentials are the proxy's to add
FORWARDED = frozenset(
    {
        *("accept", "accept-language", "content-type", "user-agent", "if-none-match", "if-modified-since"),
        *("if-match", "range", "idempotency-key", "prefer"),
    }
)


class Reply(msgspec.Struct, frozen=True):
    """An answer read whole, without its content encoding."""

    status: int
    headers: CIMultiDict[str]
    content_type: str
    body: bytes


class Caller:
    """The way out of one tool: its own connections, its own resolver."""

    def __init__(self, name: str, tool: EgressTool, rules: Rules, resolver: SafeResolver | None = None) -> None:
        self._name = name
        self._tool = tool
        self._rules = rules
        connector = aiohttp.TCPConnector(resolver=resolver or SafeResolver(rules.networks), use_dns_cache=False)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=tool.timeout_s, sock_connect=min(10.0, tool.timeout_s)),
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self._session.close()

    async def call(self, method: str, address: Address, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer, redirects followed as far as the tool's rules allow. Raises FaultError."""
        sent = self._headers(headers)
        for _ in range(self._tool.redirects + 1):
            response = await self._send(method, address, sent, body)
            async with response:
                location = response.headers.get("Location", "")
                if response.status not in REDIRECTS or not location:
                    return await self._read(response)
                target = str(response.url.join(response.url.__class__(location, encoded=True)))
            method, body = _redirected(response.status, method, body)
            following = parse(target)
            check(following, self._rules, method, own_path_from=self._base_path(following))
            if (following.scheme, following.host, following.port) != (address.scheme, address.host, address.port):
                if address.scheme == "https" and following.scheme == "http":
                    raise upstream_fault("redirect_downgraded", "the API redirects from https to http")
                for name in self._tool.headers:
                    sent.pop(name, None)  # credentials are for the API they were given for
            address = following
        raise upstream_fault("too_many_redirects", f"the API redirects more than {self._tool.redirects} times")

    def _base_path(self, address: Address) -> int:
        base = self._tool.url.partition("://")[2].partition("/")[2]
        prefix = f"/{base}" if base else ""
        return len(prefix) if prefix and address.path.startswith(prefix) else 0

    def _headers(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        allowed = FORWARDED | {name.lower() for name in self._tool.forward_headers}
        sent: CIMultiDict[str] = CIMultiDict()
        for name, value in headers.items():
            if name.lower() in allowed:
                sent.add(name, value)
        sent["Accept-Encoding"] = "identity"
        for name, value in self._tool.headers.items():
            sent[name] = value
        return sent

    async def _send(
        self, method: str, address: Address, headers: CIMultiDict[str], body: bytes
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                method, address.url(), headers=headers, data=body or None, allow_redirects=False
            )
        except AddressRefusedError as error:
            raise address_refused(self._rules) from error
        except TimeoutError as error:
            raise upstream_fault(
                "upstream_timeout", f"the API of `{self._name}` did not answer in time", 504
            ) from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefusedError):
                raise address_refused(self._rules) from error
            raise upstream_fault("upstream_unreachable", f"the API of `{self._name}` cannot be reached") from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_fault("upstream_failed", f"the API of `{self._name}` broke off") from error

    async def _read(self, response: aiohttp.ClientResponse) -> Reply:
        limit, size = self._tool.response_bytes, 0
        pieces: list[bytes] = []
        try:
            async for chunk in response.content.iter_any():
                pieces.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise upstream_fault("upstream_too_large", f"the answer is over {limit} bytes", retryable=False)
            body = decode_body(b"".join(pieces), response.headers.get("Content-Encoding", ""), limit)
        except WireError as error:
            raise upstream_fault(f"upstream_{error.kind}", f"the answer: {error}") from error
        except TimeoutError as error:
            raise upstream_fault("upstream_timeout", f"the API of `{self._name}` fell silent", 504) from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_fault("upstream_reset", f"the API of `{self._name}` broke off") from error
        headers = CIMultiDict((name, value) for name, value in response.headers.items() if name.lower() in ANSWERED)
        return Reply(response.status, headers, response.headers.get("Content-Type", ""), body)


def _redirected(status: int, method: str, body: bytes) -> tuple[str, bytes]:
    """How a redirected request goes on (WHATWG fetch, HTTP-redirect fetch 12)."""
    if status == 303 and method not in ("GET", "HEAD"):
        return "GET", b""
    if status in (301, 302) and method == "POST":
        return "GET", b""
    return method, body
