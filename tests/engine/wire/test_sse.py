"""Server-sent events: every byte accounted for, any chunking, any line end."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import WireError
from sigmaguard.wire.sse import SseDecoder

ends = st.sampled_from(["\n", "\r\n", "\r"])
lines = st.sampled_from(
    ["data: {}", "data:x", "data", "event: a", ": comment", "id: 1", "data: ä🙂", "retry: 1", "datax: y"]
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str]]]:
    """A stream, and the events it holds as the WHATWG specification reads them."""
    raw, events = "", []
    for _ in range(draw(st.integers(0, 5))):
        event, data = "", []
        for line in draw(st.lists(lines, min_size=1, max_size=4)):
            raw += line + draw(ends)
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                event = value
        # a line end that joins with the one before into CRLF would be no second one
        raw += "\n" if not raw.endswith("\r") else draw(st.sampled_from(["\r", "\r\n"]))
        events.append((event, "\n".join(data)))
    return raw.encode(), events


@given(streams(), st.data())
def test_events_are_the_same_for_any_chunking(case: tuple[bytes, list[tuple[str, str]]], data: st.DataObject) -> None:
    raw, events = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    decoder = SseDecoder()
    found = []
    for low, high in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += decoder.feed(raw[low:high])
    found += decoder.finish()
    assert b"".join(one.raw for one in found) == raw
    told = [(one.event, one.data.decode()) for one in found if one.raw.strip()]
    assert told == events


@given(st.binary(max_size=60), st.integers(1, 7))
def test_no_byte_is_lost_whatever_comes(raw: bytes, size: int) -> None:
    decoder = SseDecoder()
    found = [one for at in range(0, len(raw), size) for one in decoder.feed(raw[at : at + size])]
    assert b"".join(one.raw for one in (*found, *decoder.finish())) == raw


def test_a_byte_order_mark_does_not_hide_the_first_event() -> None:
    assert SseDecoder().feed(b"\xef\xbb\xbfdata: a\n\n")[0].data == b"a"


def test_an_event_without_an_end_is_bounded() -> None:
    decoder = SseDecoder(limit_bytes=100)
    with pytest.raises(WireError) as raised:
        for _ in range(200):
            decoder.feed(b"x")
    assert raised.value.kind == "frame_too_large"


@given(st.lists(st.sampled_from([b"x" * 70_000, b"y" * 900, b"\n", b"\n\n", b"z\n"]), max_size=12))
def test_long_events_in_pieces_are_the_same_as_in_one(pieces: list[bytes]) -> None:
    decoder, whole = SseDecoder(), SseDecoder()
    found = [one for piece in pieces for one in decoder.feed(piece)] + decoder.finish()
    assert [one.raw for one in found] == [one.raw for one in (*whole.feed(b"".join(pieces)), *whole.finish())]


def test_an_event_that_never_ends_is_not_copied_for_every_piece_of_it() -> None:
    decoder = SseDecoder(limit_bytes=4_000_000)
    since = time.thread_time()
    with pytest.raises(WireError, match="over 4000000 bytes"):
        for _ in range(100_000):  # copied for each, that would be 80 GB
            decoder.feed(b"x" * 41)
    assert time.thread_time() - since < 5.0
