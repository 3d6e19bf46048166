"""Knows how tables look as CSV, Markdown, HTML and plain columns; knows nothing of who reads them."""

import html
import random
from collections.abc import Callable, Sequence

from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import Card
from detection.corpus.benign_fill import Filler

Rows = Sequence[Sequence[str]]


def _csv(rows: Rows) -> str:
    return "\n".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows)


def _semicolons(rows: Rows) -> str:
    return "\n".join(";".join(row) for row in rows)


def _markdown(rows: Rows) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _padded(rows: Rows) -> str:
    return "\n".join(f"| {line} |" for line in _aligned(rows, " | "))


def _html(rows: Rows) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _columns(rows: Rows) -> str:
    return "\n".join(_aligned(rows, "  "))


def _aligned(rows: Rows, gap: str) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _records(rows: Rows) -> str:
    return "\n\n".join(
        "\n".join(f"{name}: {cell}" for name, cell in zip(rows[0], row, strict=True)) for row in rows[1:]
    )


SHAPES: Sequence[Callable[[Rows], str]] = (_csv, _semicolons, _markdown, _padded, _padded, _html, _columns, _records)


def table_cards(copies: int = 4) -> list[Card]:
    """Return one card for every kind of table that the banks describe.

    A frame of a table bank is `title => head, head => cell, cell`; each row is filled anew.
    """
    return [
        Card(
            family.template,
            "table",
            bank.lang,
            family.origin,
            _drawer(Filler(bank.lang, bank.slots), frame),
            copies,
        )
        for bank in read_banks("benign_table", "table", "document")
        for family in bank.families
        for frame in family.frames
    ]


def _drawer(filler: Filler, frame: str) -> Callable[[random.Random], str]:
    title, head, cells = (part.strip() for part in frame.split(" => "))

    def draw(rng: random.Random) -> str:
        names = [name.strip() for name in head.split(" ; ")]
        chosen = sorted(rng.sample(range(len(names)), rng.randint(2, len(names))))
        count = rng.choice((1, 2, 3, 4, 5, 6, 8, 12, 20))
        rows = [[names[at] for at in chosen]]
        for _ in range(count):
            row = [filler.fill(rng, cell.strip()) for cell in cells.split(" ; ")]
            rows.append([row[at] for at in chosen])
        table = rng.choice(SHAPES)(rows)
        return f"{filler.fill(rng, title)}\n\n{table}" if rng.random() < 0.4 else table

    return draw
