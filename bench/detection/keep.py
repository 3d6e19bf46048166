"""Stages that learn a little and forget nothing: earlier weights say how every other window stays judged.

After Li and Hoiem, Learning without Forgetting (2016): labels alone pull what was learnt elsewhere along with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch

from detection.batches import batches
from detection.encode import UNKNOWN, Window
from detection.network import Encoder
from detection.train import HALF

SURE = 0.98  # what a label counts as: no more sure than earlier weights are of what they know


def kept(found: Sequence[Window], encoder: Encoder) -> list[Window]:
    """The windows, each labelled with the score of `encoder` (0 to 1); nothing is said of single tokens."""
    scores = [0.0] * len(found)
    encoder.eval()
    with torch.no_grad():
        for batch in batches(found, scores, None):
            with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
                states = encoder.hidden(batch.ids, batch.mask)
            logits, _ = encoder.heads_of(states.float(), batch.mask)
            for index, score in zip(batch.index, torch.sigmoid(logits).tolist(), strict=True):
                scores[index] = score
    return [
        msgspec.structs.replace(window, label=score, weight=1.0, first=UNKNOWN, last=UNKNOWN)
        for window, score in zip(found, scores, strict=True)
    ]


def learnt(found: Sequence[Window]) -> list[Window]:
    """The windows, each labelled as surely as `kept` ones are."""
    return [msgspec.structs.replace(window, label=SURE if window.label else 1 - SURE) for window in found]
