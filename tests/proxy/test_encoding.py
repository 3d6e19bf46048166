"""Content encodings: any chunking undone alike, bounded, and cut ones told."""

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import WireError
from sigmaguard_proxy.encoding import Decoder, decode_body, readable

ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
}


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=500), st.integers(1, 9), st.integers(1, 4))
def test_any_chunking_gives_the_same(name: str, plain: bytes, repeat: int, size: int) -> None:
    plain *= repeat
    raw = ENCODERS[name](plain)
    decoder = Decoder(name, 10_000)
    assert b"".join(decoder.feed(raw[at : at + size]) for at in range(0, len(raw), size)) == plain
    decoder.finish()
    assert decode_body(raw, name, 10_000) == plain


@given(st.sampled_from(["gzip", "br", "zstd", "deflate"]), st.integers(1, 20_000))
def test_the_bound_is_exact(name: str, size: int) -> None:
    raw = ENCODERS[name](b"x" * size)
    assert len(decode_body(raw, name, size)) == size
    with pytest.raises(WireError) as raised:
        decode_body(raw, name, size - 1)
    assert raised.value.kind == "body_too_large"


@given(st.sampled_from(["gzip", "br", "zstd", "deflate"]), st.binary(min_size=1, max_size=50), st.data())
def test_a_cut_body_is_told(name: str, plain: bytes, data: st.DataObject) -> None:
    raw = ENCODERS[name](plain)
    cut = data.draw(st.integers(1, len(raw) - 1))
    with pytest.raises(WireError):
        decode_body(raw[:cut], name, 1_000)


def test_encodings_upon_each_other() -> None:
    assert decode_body(gzip.compress(brotli.compress(b"a")), "br, gzip", 10) == b"a"
    assert decode_body(b"", "gzip", 10) == b""
    assert decode_body(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 10) == b"ab"


def test_only_readable_encodings_are_asked_for() -> None:
    assert readable("gzip, deflate, br, zstd") == "gzip, deflate, br, zstd"
    assert readable("br;q=1.0, compress;q=0.5, *;q=0.1") == "br;q=1.0"
    assert readable("exi") == "identity"
