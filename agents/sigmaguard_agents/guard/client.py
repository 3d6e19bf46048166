"""Clients of a running Sigmaguard's `/v1/guard`: one that blocks, one for event loops."""

import http.client
import json
import threading
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import urlsplit

import aiohttp

from sigmaguard_agents.guard.answer import Answer, Direction, GuardError, Origins, question, read_answer

PATH = "/v1/guard"
TIMEOUT_S = 10.0


def _headers(key: str, agent: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if agent:
        headers["x-sigmaguard-agent"] = agent
    return headers


class Client:
    """Asks over HTTP and waits. Thread-safe: every thread keeps a connection of its own."""

    def __init__(
        self, base_url: str = "http://127.0.0.1:8003", *, key: str = "", agent: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"base_url `{base_url}`: write http://HOST:PORT")
        self._secure = url.scheme == "https"
        self._host, self._port = url.hostname, url.port
        self._path = url.path.rstrip("/").removesuffix("/v1") + PATH
        self._headers = _headers(key, agent)
        self._timeout_s = timeout_s
        self._local = threading.local()

    def check(
        self, texts: Sequence[str], *, direction: Direction = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over texts that belong to one exchange. Raises GuardError."""
        body = json.dumps(question(texts, direction, origin, restore)).encode()
        for attempt in (0, 1):
            connection, is_fresh = self._connection()
            try:
                connection.request("POST", self._path, body, self._headers)
                answer = connection.getresponse()
                return read_answer(answer.status, answer.read(), texts)
            except (http.client.HTTPException, OSError) as error:
                self.close()
                # a kept connection may have been closed since; a question changes nothing, so it may be asked again
                if is_fresh or attempt or isinstance(error, TimeoutError):
                    raise GuardError(f"the guard at {self._host}:{self._port} did not answer: {error}") from error
        raise AssertionError("unreachable")

    def check_text(
        self, text: str, *, direction: Direction = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over one text. Raises GuardError."""
        return self.check([text], direction=direction, origin=origin, restore=restore)

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            return kept, False
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        fresh = self._local.connection = kind(self._host, self._port, timeout=self._timeout_s)
        return fresh, True

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._host}:{self._port})"


class AsyncClient:
    """Asks over HTTP on an event loop; use it as `async with`."""

    def __init__(
        self, base_url: str = "http://127.0.0.1:8003", *, key: str = "", agent: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url = base_url.rstrip("/").removesuffix("/v1") + PATH
        self._headers = _headers(key, agent)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def check(
        self, texts: Sequence[str], *, direction: Direction = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over texts that belong to one exchange. Raises GuardError."""
        body = json.dumps(question(texts, direction, origin, restore)).encode()
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        try:
            async with self._session.post(self._url, data=body) as answer:
                return read_answer(answer.status, await answer.read(), texts)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise GuardError(f"the guard at {self._url} did not answer: {type(error).__name__}") from error

    async def check_text(
        self, text: str, *, direction: Direction = "input", origin: Origins = "", restore: str = ""
    ) -> Answer:
        """The verdict over one text. Raises GuardError."""
        return await self.check([text], direction=direction, origin=origin, restore=restore)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
