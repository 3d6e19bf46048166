"""Lines of an event that nobody inspects leave empty; data and what clients act on leave as they came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.wire.registry import registry
from sigmaguard.wire.sse import SseDecoder
from sigmaguard.wire.sse_fields import read_lines

KEY = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
LINES = ["data: {}", 'data: {"a":"b"}', "data", "event: ping", "id: 7", "retry: 10", "", ":", ": ping"]
HIDING = [f": {KEY}", f"xdata: {KEY}", f"id: {KEY}", f"event: {KEY}", f"event{KEY}", f"retry: {KEY}", f"data{KEY}", KEY]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: {}\n\n", b"data: {}\n\n"),
        (b"event: response.output_text.delta\ndata: {}\n\n", b"event: response.output_text.delta\ndata: {}\n\n"),
        (b"\xef\xbb\xbfid: 12\r\nretry: 9\r\ndata:{}\r\n\r\n", b"\xef\xbb\xbfid: 12\r\nretry: 9\r\ndata:{}\r\n\r\n"),
        (b": OPENROUTER PROCESSING\n\n", b":\n\n"),
        (b": ping", b":"),
        (b"data: {}\rxdata: a\n\n", b"data: {}\r:\n\n"),
        *((one.encode() + b"\ndata: {}\n\n", b":\ndata: {}\n\n") for one in HIDING),
    ],
)  # fmt: skip
def test_what_leaves_of_an_event(raw: bytes, expected: bytes) -> None:
    assert read_lines(raw, "")[0] == expected


@given(
    st.lists(st.tuples(st.sampled_from([*LINES, *HIDING]), st.sampled_from(["\n", "\r\n", "\r"])), max_size=12),
    st.data(),
)
def test_any_chunking_leaves_the_same_and_nothing_unread(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    raw = "".join(line + end for line, end in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))

    def left(parts: list[bytes]) -> bytes:
        decoder = SseDecoder()
        events = [one for part in parts for one in decoder.feed(part)]
        return b"".join(read_lines(one.raw, one.event)[0] for one in (*events, *decoder.finish()))

    whole = left([raw])
    assert left([raw[low:high] for low, high in zip([0, *cuts], [*cuts, len(raw)], strict=True)]) == whole
    assert KEY.encode() not in whole
    told = [(one.data, one.raw.count(b"\n")) for one in SseDecoder().feed(raw)]
    assert [(one.data, one.raw.count(b"\n")) for one in SseDecoder().feed(whole)] == told


@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"])
@pytest.mark.parametrize("line", HIDING)
def test_no_codec_passes_such_a_line_on(endpoint: str, line: str) -> None:
    found = registry().find("POST", endpoint)
    assert found is not None
    stream = found.stream()
    for raw in (f"{line}\n\n", f'{line}\ndata: {{"type":"ping"}}\n\n', f'{line}\ndata: {{"type":"{KEY}\\nx"}}\n\n'):
        one = SseDecoder().feed(raw.encode())[0]
        frame = stream.decode(one.raw, one.event, one.data)
        assert stream.keep(frame).split(b"\ndata: ")[0].count(KEY.encode()) == 0
        if isinstance(frame.body, dict):
            assert KEY.encode() not in stream.rewrite(frame, {"/type": "ping"})
