"""Masking: findings to edits, values to placeholders. Knows operators; finds and restores nothing itself."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from sigmaguard.model import Direction, Finding, Segment
from sigmaguard.policy.pack import MaskConfig
from sigmaguard.restore import Issued, Restorer, Span, restore_text
from sigmaguard.synthetic import SHORTEST, synthetic
from sigmaguard.url_trace import Allows
from sigmaguard.wire.codec import Edit

DEFAULT = MaskConfig()
TRIES = 16  # synthetic values tried before a placeholder is used instead


class Vault:
    """The values one exchange masked, by what stands for them. Lives and dies with the exchange; shows no value.

    Numbers are given in the order of first sight, so a conversation that is sent again with one turn
    more gets the same placeholders again. `existing` are the exchange's texts: what already stands in
    one of them, in any writing that would be restored, is never issued.
    """

    __slots__ = ("_by_value", "_counts", "_existing", "_issued", "_stand_ins", "_taken", "_values")

    def __init__(self, existing: Iterable[str] = ()) -> None:
        self._values: dict[str, str] = {}
        self._stand_ins: dict[str, str] = {}
        self._by_value: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._taken: dict[str, set[int]] = {}
        self._existing = tuple(existing)
        self._issued: Issued | None = None

    def placeholder(self, entity: str, value: str) -> str:
        """The placeholder of a value: the same for the same value of the same entity."""
        known = self._by_value.get((entity, value))
        if known is not None:
            return known
        taken = self._taken.get(entity)
        if taken is None:
            taken = self._taken[entity] = _numbers(entity, self._existing)
        number = self._counts.get(entity, 0) + 1
        while number in taken:
            number += 1
        self._counts[entity] = number
        name = f"<{entity}_{number}>"
        self._values[name] = value
        self._by_value[entity, value] = name
        self._issued = None
        return name

    def stand_in(self, entity: str, value: str, key: bytes) -> str:
        """A synthetic value that no text of the exchange holds and that the answer is restored from.

        A placeholder where no such value is found, as for values too short to tell apart.
        """
        known = self._by_value.get((f"{entity}*", value))
        if known is not None:
            return known
        for attempt in range(TRIES):
            made = synthetic(entity, value, key, attempt)
            if len(made) < SHORTEST or made in self._stand_ins or any(made in text for text in self._existing):
                continue
            self._stand_ins[made] = value
            self._by_value[f"{entity}*", value] = made
            self._issued = None
            return made
        return self.placeholder(entity, value)

    def restore(
        self, text: str, *, is_json: bool = False, allows: Allows | None = None, kept: list[Span] | None = None
    ) -> str:
        """A text with what this exchange issued turned back into values, but inside URLs.

        `allows` tells the hosts whose URLs are restored as well; `kept` takes the spans that were not.
        """
        return restore_text(text, self.issued(), is_json=is_json, allows=allows, kept=kept) if self else text

    def restorer(self, *, is_json: bool = False, allows: Allows | None = None) -> Restorer:
        """Restores one streamed channel."""
        return Restorer(self.issued(), is_json=is_json, allows=allows)

    def issued(self) -> Issued:
        """Everything issued so far, ready to be looked for."""
        if self._issued is None:
            self._issued = Issued(self._values, self._stand_ins)
        return self._issued

    def __bool__(self) -> bool:
        return bool(self._values or self._stand_ins)

    def __repr__(self) -> str:
        return f"Vault({len(self._values) + len(self._stand_ins)} values)"


def _numbers(entity: str, texts: Iterable[str]) -> set[int]:
    """The numbers that an entity's placeholders could not have without meaning something already there."""
    # every gap in any writing that `Issued` takes for an underscore
    pattern = re.compile(re.escape(entity).replace("_", r"\\?[_ -]") + r"\\?[_ -](\d{1,9})", re.IGNORECASE)
    return {int(match[1]) for text in texts for match in pattern.finditer(text)}


def mask_segment(
    segment: Segment,
    findings: Sequence[Finding],
    masks: Mapping[str, MaskConfig],
    vault: Vault,
    key: bytes,
    direction: Direction,
) -> list[Edit]:
    """The edits that mask these findings in a segment, in order, none overlapping.

    On the way out of the model nothing is reversible, since nobody may restore it: a placeholder
    becomes a plain `[ENTITY]`.
    """
    return [
        Edit(segment.path, start, end, _replacement(segment, start, end, entity, masks, vault, key, direction))
        for start, end, entity in merged(findings)
    ]


def merged(findings: Sequence[Finding]) -> list[tuple[int, int, str]]:
    """Spans that do not overlap: overlapping ones joined, named after the longest, then the surest."""
    ordered = sorted((one for one in findings if one.end > one.start), key=lambda one: (one.start, -one.end))
    spans: list[tuple[int, int, Finding]] = []
    for one in ordered:
        if spans and one.start < spans[-1][1]:
            start, end, best = spans[-1]
            rank_new, rank_old = (one.end - one.start, one.score), (best.end - best.start, best.score)
            spans[-1] = (start, max(end, one.end), one if rank_new > rank_old else best)
        else:
            spans.append((one.start, one.end, one))
    return [(start, end, entity_of(best)) for start, end, best in spans]


def entity_of(finding: Finding) -> str:
    """The entity a finding names, from its rule where it names none: capitals, digits and underscores."""
    name = finding.entity or finding.rule.partition(".")[2]
    name = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return name if name[:1].isalpha() else "VALUE"


def _replacement(
    segment: Segment,
    start: int,
    end: int,
    entity: str,
    masks: Mapping[str, MaskConfig],
    vault: Vault,
    key: bytes,
    direction: Direction,
) -> str:
    written = segment.text[start:end]
    value = _unescaped(written) if segment.is_json else written
    config = masks.get(entity) or masks.get("*") or DEFAULT
    match config.operator:
        case "placeholder" if direction is Direction.INPUT:
            result = vault.placeholder(entity, value)
        case "placeholder" | "redact" | "block":
            result = f"[{entity}]"
        case "replace":
            result = config.text
        case "hash":
            result = f"[{entity}:{blake2b(value.encode('utf-8', 'surrogatepass'), key=key, digest_size=6).hexdigest()}]"
        case "partial":
            result = _partial(value, config.keep)
        case "synthetic":
            result = (
                vault.stand_in(entity, value, key) if direction is Direction.INPUT else synthetic(entity, value, key)
            )
    return json.dumps(result, ensure_ascii=False)[1:-1] if segment.is_json else result


def _partial(value: str, keep: int) -> str:
    """The last `keep` characters; fewer of a short value, so that most of it always goes."""
    shown = max(0, min(keep, len(value) // 3))  # a negative one would show all but that many
    return "****" + (" " + value[-shown:] if shown else "")


def _unescaped(written: str) -> str:
    """What a span of JSON source means; the source itself where the span cuts through an escape."""
    if "\\" not in written:
        return written
    try:
        value = json.loads(f'"{written}"')
    except ValueError:
        return written
    return value if isinstance(value, str) else written
