"""What a tool server is to the gateway, and servers reached over streamable HTTP. Inspects nothing."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from sigmaguard_proxy.faults import FaultError, upstream_fault
from sigmaguard_proxy.mcp.message import LISTEN, Message
from sigmaguard_proxy.mcp.settings import ServerSettings
from sigmaguard_proxy.services import Services
from sigmaguard_proxy.upstreams import HOP_BY_HOP, returned_headers

# never a server's business: who the caller is to us, which page it runs in, how it packs its bytes
_OURS = HOP_BY_HOP | {
    "host",
    "content-length",
    "expect",
    "authorization",
    "x-api-key",
    "cookie",
    "origin",
    "referer",
    "accept-encoding",
}


class Answer(Protocol):
    """A server's HTTP answer: a status, headers, and the body's bytes as they come."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers a client may see."""
        ...

    @property
    def content_type(self) -> str:
        """The media type, without parameters."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises FaultError where it breaks off or stalls."""
        ...

    async def close(self) -> None:
        """Leaves the answer, read or not; a request still under way is cancelled."""
        ...


class Server(Protocol):
    """A tool server as streamable HTTP, whatever it speaks itself. `owner` is the caller's scope."""

    async def post(
        self, headers: Mapping[str, str], body: bytes, messages: Sequence[Message], owner: str, *, version: str
    ) -> Answer:
        """Sends messages. `version` is the protocol revision the client names, empty where it names none."""
        ...

    async def get(self, headers: Mapping[str, str], owner: str) -> Answer:
        """Opens the stream of what the server says on its own, or resumes one (`Last-Event-ID`)."""
        ...

    async def delete(self, headers: Mapping[str, str], owner: str) -> Answer:
        """Ends a session."""
        ...

    async def close(self) -> None:
        """Ends everything."""
        ...


class HttpAnswer:
    """An answer of an HTTP server."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers a client may see."""
        return returned_headers(self._response.headers)

    @property
    def content_type(self) -> str:
        """The media type."""
        return self._response.content_type

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError as error:
            raise upstream_fault("upstream_timeout", "the tool server fell silent", 504) from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_fault("upstream_reset", "the tool server broke off in the middle of its answer") from error

    async def close(self) -> None:
        """Closes the connection; at 2026-07-28 that is how a request is cancelled."""
        self._response.close()


class HttpServer:
    """A server at a URL. Its sessions, event ids and stored messages are its own: they pass through."""

    def __init__(self, name: str, settings: ServerSettings, services: Services) -> None:
        self._name = name
        self._settings = settings
        self._session = services.session
        self._url = URL(settings.url)

    async def post(
        self, headers: Mapping[str, str], body: bytes, messages: Sequence[Message], owner: str, *, version: str
    ) -> Answer:
        """Sends messages; a subscription may be silent for as long as it likes."""
        is_silent = any(one.method == LISTEN for one in messages)
        return await self._send("POST", headers, body, None if is_silent else self._settings.timeout_s)

    async def get(self, headers: Mapping[str, str], owner: str) -> Answer:
        """Opens or resumes a stream; it may be silent for as long as it likes."""
        return await self._send("GET", headers, None, None)

    async def delete(self, headers: Mapping[str, str], owner: str) -> Answer:
        """Ends a session."""
        return await self._send("DELETE", headers, None, self._settings.timeout_s)

    async def close(self) -> None:
        """Nothing is kept open between requests."""

    async def _send(self, method: str, headers: Mapping[str, str], body: bytes | None, read_s: float | None) -> Answer:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.start_timeout_s, sock_read=read_s)
        try:
            response = await self._session.request(
                method, self._url, headers=self._headers(headers), data=body, allow_redirects=False, timeout=timeout
            )
        except TimeoutError as error:
            raise upstream_fault(
                "upstream_timeout", f"tool server `{self._name}` did not answer in time", 504
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise upstream_fault("upstream_unreachable", f"tool server `{self._name}` cannot be reached") from error
        if 300 <= response.status < 400:
            response.close()
            raise _redirected(self._name)
        return HttpAnswer(response)

    def _headers(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        sent: CIMultiDict[str] = CIMultiDict()
        for name, value in headers.items():
            lower = name.lower()
            if lower not in _OURS and not lower.startswith("x-sigmaguard-"):
                sent.add(name, value)
        if self._settings.pass_authorization and "Authorization" in headers:
            sent["Authorization"] = headers["Authorization"]
        sent["Accept-Encoding"] = "identity"
        for name, value in self._settings.headers.items():
            sent[name] = value
        return sent


def _redirected(name: str) -> FaultError:
    return upstream_fault(
        "upstream_redirected", f"tool server `{name}` answers with a redirect; set `url` to where it leads"
    )
