"""Which tool definitions are known: pinned by digest at first use, held when they change. Knows a file, no policy.

The book is one small JSON file that workers and the admin port share: every change is made under a lock to
what the file says now, and written whole.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson

from sigmaguard.errors import ConfigError

TOOLS_A_SERVER = 2_000  # definitions kept for one server; a server that offers more is flooding


class Held(msgspec.Struct, frozen=True):
    """A definition that waits for approval. `at` Unix seconds; `rules` why; `description` as the server gave it."""

    digest: str
    rules: tuple[str, ...]
    at: float
    description: str = ""


class Pin(msgspec.Struct, frozen=True):
    """What is known of one tool: the digest in use (empty before any), those approved by a person, one held."""

    digest: str = ""
    approved: tuple[str, ...] = ()
    held: Held | None = None


Book = dict[str, dict[str, Pin]]


def definition_digest(tool: Mapping[str, Any]) -> str:
    """The digest of everything a model sees of a tool: all but `_meta`, whatever the order of keys."""
    seen = {key: value for key, value in tool.items() if key != "_meta"}
    return sha256(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


class PinBook:
    """The pins of all servers. Reads answer from memory; `refresh` looks whether the file has changed."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stamp = 0
        self._book: Book = {}
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Takes over what another process has written. Raises ConfigError where the file is damaged."""
        path = self._path
        if path is None:
            return
        try:
            stamp = os.stat(path).st_mtime_ns  # 2 us here; handing it to a thread takes milliseconds under load
        except FileNotFoundError:
            return
        if stamp != self._stamp:
            self._book, self._stamp = await asyncio.to_thread(_read, path), stamp

    def get(self, server: str, tool: str) -> Pin:
        """What is known of a tool; an empty pin where nothing is."""
        return self._book.get(server, {}).get(tool) or Pin()

    def tools(self, server: str) -> list[str]:
        """The tools of a server that have been seen."""
        return list(self._book.get(server, ()))

    def others(self, server: str) -> Iterable[tuple[str, str]]:
        """Server and name of every pinned tool of the other servers."""
        for name, pins in self._book.items():
            if name != server:
                yield from ((name, tool) for tool, pin in pins.items() if pin.digest)

    def entries(self) -> list[tuple[str, str, Pin]]:
        """Everything, for the admin API."""
        return [(server, tool, pin) for server, pins in self._book.items() for tool, pin in pins.items()]

    async def learn(self, server: str, pinned: Mapping[str, str], held: Mapping[str, Held]) -> None:
        """Pins digests of tools seen for the first time, holds others; a tool pinned is held no longer."""

        def change(book: Book) -> None:
            pins = book.setdefault(server, {})
            for tool, digest in pinned.items():
                if len(pins) < TOOLS_A_SERVER or tool in pins:
                    old = pins.get(tool) or Pin()
                    pins[tool] = msgspec.structs.replace(old, digest=old.digest or digest, held=None)
            for tool, one in held.items():
                if len(pins) < TOOLS_A_SERVER or tool in pins:
                    pins[tool] = msgspec.structs.replace(pins.get(tool) or Pin(), held=one)

        await self._change(change)

    async def approve(self, server: str, tool: str) -> bool:
        """Approves the held definition of a tool; False where none is held."""
        return await self._settle(server, tool, approve=True)

    async def reject(self, server: str, tool: str) -> bool:
        """Drops the held definition; the pinned one stays. False where none is held."""
        return await self._settle(server, tool, approve=False)

    async def _settle(self, server: str, tool: str, *, approve: bool) -> bool:
        await self.refresh()
        held = self.get(server, tool).held
        if held is None:
            return False

        def change(book: Book) -> None:
            pin = book.setdefault(server, {}).get(tool) or Pin()
            if approve:
                pin = msgspec.structs.replace(pin, digest=held.digest, approved=(*pin.approved[-7:], held.digest))
            book[server][tool] = msgspec.structs.replace(pin, held=None)

        await self._change(change)
        return True

    async def _change(self, change: Callable[[Book], None]) -> None:
        async with self._lock:
            if self._path is None:
                change(self._book)
            else:
                await asyncio.to_thread(self._rewrite, change)

    def _rewrite(self, change: Callable[[Book], None]) -> None:
        path = self._path
        assert path is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            book = _read(path) if path.exists() else {}
            change(book)
            fresh = path.with_suffix(".new")
            with fresh.open("wb") as out:
                out.write(msgspec.json.format(msgspec.json.encode(book), indent=1))
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(path)
            self._book, self._stamp = book, path.stat().st_mtime_ns


def held_now(digest: str, rules: Iterable[str], description: str) -> Held:
    """A definition held from now on."""
    return Held(digest, tuple(rules), time.time(), description[:2_000])


def _read(path: Path) -> Book:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Book)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path.name} is damaged: {error}; move it away to pin every tool anew") from error
