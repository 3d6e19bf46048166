"""Knows how tools hand back records: JSON in many shapes, key and value lines, YAML; knows nothing of attacks."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import Card
from detection.corpus.benign_facts import hexes, iso_time
from detection.corpus.benign_fill import Filler

Value = str | int | float | bool | None | list[str]
Record = Mapping[str, Value]
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def record_cards(copies: int = 4) -> list[Card]:
    """Return one card for every kind of record that the banks describe.

    A frame of a record bank is `noun => key: frame ; key: frame`; a value in `#...` is a JSON literal
    and one in `[...]` a list of one to three fillings.
    """
    return [
        Card(
            family.template,
            family.kind,
            bank.lang,
            family.origin,
            _drawer(Filler(bank.lang, bank.slots), frame),
            copies,
        )
        for bank in read_banks("benign_record", "tool-json", "tool")
        for family in bank.families
        for frame in family.frames
    ]


def _drawer(filler: Filler, frame: str) -> Callable[[random.Random], str]:
    noun, _, rest = frame.partition(" => ")
    fields = [tuple(field.split(":", 1)) for field in rest.split(" ; ")]

    def draw(rng: random.Random) -> str:
        kept = [field for field in fields if rng.random() < 0.85] or fields
        records = [
            {key.strip(): _value(rng, filler, value.strip()) for key, value in kept}
            for _ in range(rng.choice((1, 1, 1, 2, 3, 4, 6, 9)))
        ]
        return rng.choice(SHAPES)(rng, noun.strip(), records)

    return draw


def _value(rng: random.Random, filler: Filler, frame: str) -> Value:
    if frame.startswith("[") and frame.endswith("]"):
        return [filler.fill(rng, frame[1:-1]) for _ in range(rng.randint(0, 3))]
    if not frame.startswith("#"):
        return filler.fill(rng, frame)
    text = filler.fill(rng, frame[1:])
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return {"true": True, "false": False}.get(text)


def _plain(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    return _dump(rng, records[0] if len(records) == 1 else list(records))


def _wrapped(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    key = rng.choice(("results", "items", "data", f"{noun}s", "records", "content"))
    extras: list[dict[str, object]] = [
        {},
        {"status": "ok"},
        {"count": len(records)},
        {"success": True, "error": None},
        {"request_id": hexes(rng, 12)},
        {"next_page": None},
        {"fetched_at": iso_time(rng)},
    ]
    extra = rng.choice(extras)
    return _dump(rng, {**extra, key: list(records)})


def _deep(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    found = [{"id": hexes(rng, 6), "type": noun, "attributes": dict(record)} for record in records]
    return _dump(rng, {"tool": f"get_{noun}", "result": {"hits": found, "took_ms": rng.randint(1, 900)}})


def _lines(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


def _yaml(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    parts = [f"{noun}s:"]
    for record in records:
        parts += [
            ("  - " if at == 0 else "    ") + f"{key}: {_scalar(value)}"
            for at, (key, value) in enumerate(record.items())
        ]
    return "\n".join(parts)


def _prose(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    blocks = [
        "\n".join(f"{key.replace('_', ' ').title()}: {_scalar(value)}" for key, value in record.items())
        for record in records
    ]
    return f"Found {len(records)} {noun}{'s' if len(records) > 1 else ''}\n\n" + "\n---\n".join(blocks)


def _quoted(rng: random.Random, noun: str, records: Sequence[Record]) -> str:
    # What an agent loop written in Python often passes on: the repr of the result.
    return repr([dict(record) for record in records] if len(records) > 1 else dict(records[0]))


def _scalar(value: Value) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _dump(rng: random.Random, value: object) -> str:
    return json.dumps(value, ensure_ascii=rng.random() < 0.15, indent=rng.choice((None, None, 2, 4)))


SHAPES: Sequence[Callable[[random.Random, str, Sequence[Record]], str]] = (
    _plain, _plain, _wrapped, _wrapped, _deep, _lines, _yaml, _prose, _quoted,
)  # fmt: skip
