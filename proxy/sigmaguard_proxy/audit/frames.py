"""Frames of a write-ahead segment: how a record's bytes are told whole from torn. Knows bytes, no record.

A segment is a header (magic and a random id) and frames: mark, length, CRC-32 (little-endian), payload.
The mark lets a reader find the next whole frame behind damage; lengths are never trusted alone.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

SEGMENT_MAGIC = b"SGWAL1\n\0"
SEGMENT_HEADER_BYTES = len(SEGMENT_MAGIC) + 16
MARK = b"\xf5SGr"  # 0xf5 never occurs in UTF-8, so text in a payload cannot look like a mark
FRAME = struct.Struct("<4sII")
FRAME_LIMIT_BYTES = 64 * 1024 * 1024  # a length beyond this is damage, not a record


class Payload(msgspec.Struct, frozen=True):
    """One whole frame: its payload, and the offset at which the next one begins."""

    data: bytes
    end: int


class Damage(msgspec.Struct, frozen=True):
    """Bytes [start, end) of a segment that hold no whole frame though whole frames follow them."""

    start: int
    end: int


def frame(payload: bytes) -> bytes:
    """A payload as it is written: one frame, to be written by one write(2)."""
    return FRAME.pack(MARK, len(payload), zlib.crc32(payload)) + payload


def segment_header(identity: bytes) -> bytes:
    """The first bytes of a segment; `identity` is 16 random bytes that name it for ever."""
    return SEGMENT_MAGIC + identity


def segment_identity(head: bytes) -> str | None:
    """The id of a segment (32 hex digits) from its first bytes, None where they are no segment's."""
    if len(head) < SEGMENT_HEADER_BYTES or not head.startswith(SEGMENT_MAGIC):
        return None
    return head[len(SEGMENT_MAGIC) : SEGMENT_HEADER_BYTES].hex()


def frames(data: bytes, base: int = 0) -> Iterator[Payload | Damage]:
    """Every whole frame in `data`, whose first byte stands at offset `base` of its segment.

    Ends before a frame that is not complete: it is being written, or torn. Damaged bytes in the middle
    are told and skipped.
    """
    at = 0
    while True:
        end = _whole(data, at)
        if end:
            yield Payload(data[at + FRAME.size : end], base + end)
            at = end
            continue
        later = _next_whole(data, at + 1)
        if later < 0:
            return
        yield Damage(base + at, base + later)
        at = later


def _whole(data: bytes, at: int) -> int:
    """Where the whole frame at `at` ends, 0 where there is none."""
    if len(data) < at + FRAME.size:
        return 0
    mark, length, checksum = FRAME.unpack_from(data, at)
    end: int = at + FRAME.size + length
    if mark != MARK or length > FRAME_LIMIT_BYTES or end > len(data):
        return 0
    return end if zlib.crc32(data[at + FRAME.size : end]) == checksum else 0


def _next_whole(data: bytes, at: int) -> int:
    while True:
        at = data.find(MARK, at)
        if at < 0:
            return -1
        if _whole(data, at):
            return at
        at += 1
