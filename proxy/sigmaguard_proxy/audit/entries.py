"""What stands in a write-ahead frame: an exchange's record or an administrative act, as bytes and back."""

import os
import time
from typing import Any

import msgspec

from sigmaguard_proxy.ports import ExchangeRecord


class Act(msgspec.Struct, frozen=True):
    """One administrative act: who did what to what. `at` in Unix seconds; `details` JSON values, no secrets."""

    id: str
    at: float
    tenant: str
    actor: str
    action: str
    target: str
    details: dict[str, Any] = {}


Entry = ExchangeRecord | Act

_EXCHANGE, _ACT = b"E", b"A"
_encoder = msgspec.msgpack.Encoder()
_exchange_decoder = msgspec.msgpack.Decoder(ExchangeRecord)
_act_decoder = msgspec.msgpack.Decoder(Act)


class EntryError(ValueError):
    """A frame is whole but holds nothing this version understands."""


def new_act_id() -> str:
    """`act_` and 32 hex digits that sort by time, like an exchange's id."""
    return f"act_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def entry_to_bytes(entry: Entry) -> bytes:
    """An entry as a frame's payload. Lone surrogates, which no database takes, are replaced."""
    tag = _EXCHANGE if isinstance(entry, ExchangeRecord) else _ACT
    try:
        return tag + _encoder.encode(entry)
    except UnicodeEncodeError:
        return tag + _encoder.encode(_scrubbed(msgspec.to_builtins(entry, builtin_types=(bytes,))))


def bytes_to_entry(payload: bytes) -> Entry:
    """The entry of a frame's payload. Raises EntryError."""
    try:
        match payload[:1]:
            case b"E":
                return _exchange_decoder.decode(payload[1:])
            case b"A":
                return _act_decoder.decode(payload[1:])
    except msgspec.MsgspecError as error:
        raise EntryError(str(error)) from error
    raise EntryError(f"an unknown kind of entry: {payload[:1]!r}")


def _scrubbed(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
        case list() | tuple():
            return [_scrubbed(item) for item in value]
        case _:
            return value
