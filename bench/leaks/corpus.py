"""Documents with secrets planted where people leave them, and harmless look-alikes around. Finds nothing."""

from collections.abc import Iterator
from random import Random

import msgspec

from leaks.harmless import HARMLESS
from leaks.material import ASSIGNED, TOKENS, TOLD, Make

SEED = 20261124  # the evaluation; the rules were tried on other seeds only


class Planted(msgspec.Struct, frozen=True):
    """A secret in a document: its kind and its span in code points."""

    kind: str
    start: int
    end: int


class Document(msgspec.Struct, frozen=True):
    """A text, the file name it would have, what is planted, and which lines are look-alikes (start, end, kind)."""

    name: str
    text: str
    planted: tuple[Planted, ...]
    harmless: tuple[tuple[int, int, str], ...]


# Where a token is left: file name ending, line.
_PLACES = (
    (".py", 'client = Client(token="{}")'),
    (".py", 'CREDENTIAL = "{}"'),
    (".js", "const client = connect('{}');"),
    (".yaml", "  credential: {}"),
    (".env", "SHOP_CREDENTIAL={}"),
    (".json", '  "credential": "{}",'),
    (".log", "2026-03-04T11:22:33Z INFO sent header x-credential={} status=200"),
    (".sh", "./deploy.sh --with {} --region eu"),
    (".md", "Use `{}` for the staging system."),
    (".tf", '  value = "{}"'),
    (".txt", "Hi Tom, this is the one for staging: {} Best, Anna"),
    (".txt", "Hallo Jan, hier der Zugang für das Testsystem: {} Viele Grüße, Anna"),
    (".xml", "<credential>{}</credential>"),
)
_ENDINGS = (".py", ".yaml", ".env", ".json", ".log", ".txt", ".md")


def documents(count: int, seed: int = SEED) -> Iterator[Document]:
    """So many documents: three in four hold one secret, the kinds in turn."""
    chance = Random(seed)
    kinds: list[tuple[str, tuple[tuple[str, str], ...], Make]] = [
        *((kind, _PLACES, make) for kind, make in TOKENS.items()),
        *(
            (kind, tuple((_ENDINGS[at % 7], line) for at, line in enumerate(lines)), make)
            for kind, (lines, make) in ASSIGNED.items()
        ),
        *((kind, tuple((".txt", f"Hallo, {line}.") for line in lines), make) for kind, (lines, make) in TOLD.items()),
    ]
    for at in range(count):
        if at % 4 == 3:
            yield _document(chance, at, None)
        else:
            kind, places, make = kinds[(at - at // 4) % len(kinds)]
            yield _document(chance, at, (kind, *chance.choice(places), make(chance)))


def _document(chance: Random, at: int, secret: tuple[str, str, str, str] | None) -> Document:
    kinds = chance.sample(sorted(HARMLESS), 6)
    lines = [(kind, HARMLESS[kind](chance)) for kind in kinds]
    where = chance.randrange(len(lines) + 1)
    ending = secret[1] if secret else chance.choice(_ENDINGS)
    text, planted, harmless = "", [], []
    for place, (kind, line) in enumerate([*lines, ("", "")]):
        if secret and place == where:
            before, value, after = _parts(secret[2], secret[3])
            start = len(text) + len(before)
            planted.append(Planted(secret[0], start, start + len(value)))
            text += before + value + after + "\n"
        if line:
            harmless.append((len(text), len(text) + len(line), kind))
            text += line + "\n"
    return Document(f"document{at}{ending}", text, tuple(planted), tuple(harmless))


def _parts(line: str, value: str) -> tuple[str, str, str]:
    """What stands before the secret, the secret, and what stands after it."""
    before, _, after = line.partition("{}")
    if "{" in value:
        head, _, rest = value.partition("{")
        value, _, tail = rest.partition("}")
        return before + head, value, tail + after
    return before, value, after
