"""Answers whose text was edited: what repeats that text in other words is taken out. Edits no text itself."""

from collections.abc import Sequence

import orjson

from sigmaguard.wire import pointer
from sigmaguard.wire.codec import Edit


def without_repeats(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The edited body; without the token log-probabilities of texts that are no longer what they were."""
    if b'"logprobs"' not in body:
        return body
    edited = orjson.loads(body)
    cleared = [pointer.clear_beside(edited, edit.path, "logprobs") for edit in edits]
    return orjson.dumps(edited) if any(cleared) else body
