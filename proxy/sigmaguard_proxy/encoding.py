"""Content encodings: bodies and streams undone for inspection, bounded against decompression bombs."""

import zlib
from typing import Protocol

import brotli
import zstandard

from sigmaguard.errors import WireError


class _Decompressor(Protocol):
    def feed(self, data: bytes) -> bytes: ...


class _Zlib:
    """gzip, and deflate both with and without its zlib wrapper (servers send either)."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self._raw_allowed = wbits == zlib.MAX_WBITS

    def feed(self, data: bytes) -> bytes:
        try:
            result = self._inner.decompress(data)
        except zlib.error:
            if not self._raw_allowed:
                raise
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
            result = self._inner.decompress(data)
        self._raw_allowed = False
        return result


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        result: bytes = self._inner.process(data)
        return result


class _Zstandard:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data)


class Decoder:
    """Undoes a chain of content encodings chunk by chunk. Raises WireError where it is not what it says."""

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        names = [name.strip().lower() for name in encoding.split(",") if name.strip()]
        self._chain = [_decompressor(name) for name in reversed(names) if name != "identity"]
        self._left = limit_bytes

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes of this chunk."""
        for step in self._chain:
            try:
                data = step.feed(data)
            except (zlib.error, brotli.error, zstandard.ZstdError) as error:
                raise WireError("bad_encoding", "the body is not in the content encoding it names") from error
        self._left -= len(data)
        if self._left < 0:
            raise WireError("body_too_large", "the body decodes to more than the policy allows")
        return data


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


def decode_body(raw: bytes, encoding: str, limit_bytes: int) -> bytes:
    """A whole body without its content encoding. Raises WireError."""
    if not encoding or encoding == "identity":
        return raw
    return Decoder(encoding, limit_bytes).feed(raw)
