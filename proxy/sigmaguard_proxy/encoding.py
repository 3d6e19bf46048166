"""Content encodings: bodies and streams undone for inspection, bounded against decompression bombs."""

import zlib
from typing import Protocol

import brotli
import zstandard
from multidict import MultiMapping

from sigmaguard.errors import WireError

_NONE: list[str] = []
READABLE = ("gzip", "x-gzip", "deflate", "br", "zstd", "identity")
# zstd has no output bound of its own: of this much input at most 8 MiB can come (a 4-byte block says 128 KiB)
_ZSTD_SLICE = 256


class _Decompressor(Protocol):
    def feed(self, data: bytes, limit: int) -> bytes:
        """The decoded bytes; more than `limit` of them says that there would be even more."""
        ...

    @property
    def is_done(self) -> bool: ...


class _Zlib:
    """gzip, and deflate both with and without its zlib wrapper (servers send either)."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inner = zlib.decompressobj(wbits)
        self._raw_allowed = wbits == zlib.MAX_WBITS

    @property
    def is_done(self) -> bool:
        return self._inner.eof

    def feed(self, data: bytes, limit: int) -> bytes:
        pieces: list[bytes] = []
        while data:
            if self._inner.eof:
                if self._wbits != zlib.MAX_WBITS | 16:
                    raise zlib.error("data after the end")
                self._inner = zlib.decompressobj(self._wbits)  # RFC 1952: members may follow one another
            piece = self._decompress(data, limit + 1)
            pieces.append(piece)
            limit -= len(piece)
            if limit < 0:
                break
            data = self._inner.unconsumed_tail or self._inner.unused_data
        return b"".join(pieces)

    def _decompress(self, data: bytes, limit: int) -> bytes:
        try:
            result = self._inner.decompress(data, limit)
        except zlib.error:
            if not self._raw_allowed:
                raise
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
            result = self._inner.decompress(data, limit)
        self._raw_allowed = False
        return result


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    @property
    def is_done(self) -> bool:
        return bool(self._inner.is_finished())

    def feed(self, data: bytes, limit: int) -> bytes:
        pieces: list[bytes] = [self._inner.process(data, output_buffer_limit=limit + 1)]
        limit -= len(pieces[0])
        while limit >= 0 and not self._inner.can_accept_more_data():
            pieces.append(self._inner.process(b"", output_buffer_limit=limit + 1))
            limit -= len(pieces[-1])
        return b"".join(pieces)


class _Zstandard:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()

    @property
    def is_done(self) -> bool:
        return self._inner.eof

    def feed(self, data: bytes, limit: int) -> bytes:
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and limit >= 0:
            if self._inner.eof:
                self._inner = zstandard.ZstdDecompressor().decompressobj()  # RFC 8878: frames may follow one another
            part = data[at : at + _ZSTD_SLICE]
            pieces.append(self._inner.decompress(part))
            at += len(part) - len(self._inner.unused_data)
            limit -= len(pieces[-1])
        return b"".join(pieces)


class Decoder:
    """Undoes a chain of content encodings chunk by chunk. Raises WireError where it is not what it says."""

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        names = [name.strip().lower() for name in encoding.split(",") if name.strip()]
        if len(names) > 4:
            raise WireError("unknown_encoding", "more than four content encodings, one upon the other")
        self._chain = [_decompressor(name) for name in reversed(names) if name != "identity"]
        self._left = limit_bytes
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes of this chunk."""
        self._fed = self._fed or bool(data)
        for step in self._chain:
            try:
                data = step.feed(data, self._left)
            except (zlib.error, brotli.error, zstandard.ZstdError) as error:
                raise WireError("bad_encoding", "the body is not in the content encoding it names") from error
            if len(data) > self._left:
                raise WireError("body_too_large", "the body decodes to more than the policy allows")
        self._left -= len(data)
        return data

    def finish(self) -> None:
        """Raises WireError where the encoded body was cut short."""
        if self._fed and not all(step.is_done for step in self._chain):
            raise WireError("bad_encoding", "the encoded body ends before its end")


def _decompressor(name: str) -> _Decompressor:
    match name:
        case "gzip" | "x-gzip":
            return _Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Zlib(zlib.MAX_WBITS)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstandard()
        case _:
            raise WireError("unknown_encoding", f"content encoding `{name[:32]}` is not one of gzip, deflate, br, zstd")


def encoding_of(headers: MultiMapping[str]) -> str:
    """A request's content encodings, empty where there are none.

    Raises WireError where they are told twice: we might read by the first header and a server by the last.
    """
    values = headers.getall("Content-Encoding", _NONE)
    if len(values) > 1:
        raise WireError("doubled_header", "there is more than one Content-Encoding header; send one, as a list")
    return values[0] if values else ""


def decode_body(raw: bytes, encoding: str, limit_bytes: int) -> bytes:
    """A whole body without its content encoding. Raises WireError."""
    if not encoding or encoding == "identity" or not raw:
        return raw
    decoder = Decoder(encoding, limit_bytes)
    plain = decoder.feed(raw)
    decoder.finish()
    return plain


def readable(accepted: str) -> str:
    """An Accept-Encoding header without the encodings that could not be inspected."""
    kept = [item.strip() for item in accepted.split(",") if item.partition(";")[0].strip().lower() in READABLE]
    return ", ".join(kept) or "identity"
