"""Offers harmless documents and tool results for planting; refuses to know what will be planted."""

import csv
import io
import json
import random
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import msgspec

from detection.corpus.attack_frames import LANGUAGES, Deck, open_deck
from detection.corpus.example import Example

BORROWED = (
    "benign_business",
    "benign_tool",
)  # their documents carry attacks too, or the carrier tells the class
SHARE_BORROWED = 0.5
PARTS = (1, 1, 1, 1, 1, 1, 1, 2, 3, 5)  # now and then several texts in a row, so that a passage can drown in a long one


class Carrier(msgspec.Struct, frozen=True):
    """A harmless text, its language, and the family it was drawn from."""

    text: str
    lang: str
    template: str


def carriers(rng: random.Random, count: int, origin: str) -> Iterator[Carrier]:
    """Yield count carriers fit for the origin, `document` or `tool`."""
    deck = open_deck("attack_slots", f"attack_carriers_{origin}")
    pool: dict[str, list[Example]] = {}
    for example in borrow(rng, count, origin):
        pool.setdefault(example.lang, []).append(example)
    langs = deck.languages
    for lang in rng.choices(langs, [LANGUAGES[name] for name in langs], k=count):
        parts = [_one(deck, pool.get(lang, []), lang, rng) for _ in range(rng.choice(PARTS))]
        glue = rng.choice(("\n\n", "\n---\n", "\n\n=====\n\n", "\n"))
        yield Carrier(glue.join(part.text for part in parts), lang, parts[0].template)


def _one(deck: Deck, pool: list[Example], lang: str, rng: random.Random) -> Carrier:
    if pool and rng.random() < SHARE_BORROWED:
        example = rng.choice(pool)
        return Carrier(example.text, example.lang, example.template)
    return own(deck, lang, rng)


def borrow(rng: random.Random, count: int, origin: str) -> list[Example]:
    """Benign examples of this origin from the benign generators that exist."""
    found: list[Example] = []
    for name in BORROWED:
        path = f"detection.corpus.{name}"
        if find_spec(path) is not None:
            made: Iterator[Example] = import_module(path).generate(rng, count)
            found.extend(example for example in made if example.origin == origin)
    return found


def own(deck: Deck, lang: str, rng: random.Random) -> Carrier:
    """A carrier from the banks: a written one, or records laid out as JSON, CSV or a Markdown table."""
    drawn = deck.draw(rng, lang)
    if drawn.family.kind != "record":
        return Carrier(drawn.text, drawn.lang, drawn.family.id)
    rows = [_fields(drawn.text)]
    bank = deck.banks[drawn.lang]
    for _ in range(rng.choice((0, 0, 1, 2, 3, 5))):
        other = deck.redraw(bank, drawn.frame, rng)
        rows.append(_fields(other))
    layout = rng.choice((_as_json, _as_json, _as_csv, _as_markdown, _as_lines))
    return Carrier(layout(rows, rng), drawn.lang, drawn.family.id)


def _fields(line: str) -> dict[str, str]:
    pairs = (part.split("=", 1) for part in line.split(" ;; "))
    return {name.strip(): value.strip() for name, value in pairs}


def _as_json(rows: list[dict[str, str]], rng: random.Random) -> str:
    typed = [{name: int(value) if value.isdigit() else value for name, value in row.items()} for row in rows]
    value: object = typed[0] if len(typed) == 1 else typed
    if rng.random() < 0.5:
        value = {
            rng.choice(("results", "items", "data", "entries", "messages", "records")): typed,
            "total": len(typed),
        }
    return json.dumps(value, ensure_ascii=False, indent=rng.choice((None, 2)))


def _as_csv(rows: list[dict[str, str]], rng: random.Random) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=rng.choice((",", ";")), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().rstrip()


def _as_markdown(rows: list[dict[str, str]], rng: random.Random) -> str:
    lines = [
        " | ".join(rows[0]),
        " | ".join("---" for _ in rows[0]),
        *(" | ".join(row.values()) for row in rows),
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _as_lines(rows: list[dict[str, str]], rng: random.Random) -> str:
    mark = rng.choice((": ", " = ", ": ", ":\n"))
    return rng.choice(("\n\n", "\n---\n", "\n\n\n")).join(
        "\n".join(f"{name}{mark}{value}" for name, value in row.items()) for row in rows
    )
