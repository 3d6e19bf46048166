"""Knows the shape of one training example; refuses to know where examples come from."""

from __future__ import annotations

import msgspec


class Example(msgspec.Struct, frozen=True):
    """One labelled text.

    `label` is `benign`, `injection` or `jailbreak`; `origin` is `user`, `document` or `tool`;
    `kind` is a short word for the report; `lang` is an ISO 639-1 code. `source` names the set or
    generator, and `template` the sentence family: the split keeps a family on one side.
    `start` and `end` mark the attack in code points, half-open; 0 and 0 where it is the whole text
    or nobody knows.
    """

    text: str
    label: str
    origin: str
    kind: str
    lang: str
    source: str
    template: str
    start: int = 0
    end: int = 0

    @property
    def is_attack(self) -> bool:
        """Whether a detector should report it."""
        return self.label != "benign"
