"""Whole frames are told from torn and damaged ones, wherever the tear or the damage is."""

from hypothesis import assume, given
from hypothesis import strategies as st

from sigmaguard_proxy.audit.frames import FRAME, MARK, Damage, Payload, frame, frames

payloads = st.lists(st.one_of(st.binary(max_size=80), st.just(MARK * 3), st.just(b"")), max_size=12)


def _whole(data: bytes, base: int = 0) -> list[bytes]:
    return [piece.data for piece in frames(data, base) if isinstance(piece, Payload)]


@given(payloads, st.integers(0, 10_000))
def test_what_was_written_is_read(written: list[bytes], base: int) -> None:
    data = b"".join(map(frame, written))
    pieces = list(frames(data, base))
    assert [piece.data for piece in pieces if isinstance(piece, Payload)] == written
    assert (pieces[-1].end if pieces else base) == base + len(data)


@given(payloads, st.data())
def test_a_tear_loses_only_the_torn_frame(written: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(frame, written))
    cut = data.draw(st.integers(0, len(whole)))
    complete, size = 0, 0
    for payload in written:
        size += FRAME.size + len(payload)
        complete += size <= cut
    assert _whole(whole[:cut]) == written[:complete]


@given(payloads.filter(bool), st.data())
def test_a_flipped_bit_loses_only_its_frame_and_is_told(written: list[bytes], data: st.DataObject) -> None:
    frames_ = [frame(payload) for payload in written]
    victim = data.draw(st.integers(0, len(frames_) - 1))
    bit = data.draw(st.integers(0, len(frames_[victim]) * 8 - 1))
    damaged = bytearray(frames_[victim])
    damaged[bit // 8] ^= 1 << (bit % 8)
    assume(MARK not in written[victim])  # a payload that quotes frames may leave one of its own behind
    data_ = b"".join([*frames_[:victim], bytes(damaged), *frames_[victim + 1 :]])
    assert _whole(data_) == written[:victim] + written[victim + 1 :]
    if victim < len(written) - 1:
        start = sum(map(len, frames_[:victim]))
        assert Damage(start, start + len(damaged)) in list(frames(data_))
