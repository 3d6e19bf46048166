"""Writes harmless scraps: labels, numbers, names, half sentences, lone questions, and text that no reader can make sense of."""

from __future__ import annotations

import codecs
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec

from detection.corpus import benign_business, benign_chat, benign_errand, benign_tool
from detection.corpus.benign_words import words
from detection.corpus.disguise import READ
from detection.corpus.example import Example

SOURCE = "benign_scraps"
_POOLS = (benign_chat.generate, benign_errand.generate, benign_business.generate, benign_tool.generate)
_ORIGINS = ("user", "document", "tool")
_LONGEST = 300  # code points of a text that is disguised
_CODES = "NP|ord|SKU-|T|REQ-|INV-|#|id |Rev. |v|No. |PO|Q|case_|row |Fig. |§ ".split("|")
_THINGS = {
    "en": "client turn order item ticket user row page case run step task job room lot unit batch line part node test page chapter".split(),
    "de": "Kunde Auftrag Posten Vorgang Zeile Seite Fall Lauf Schritt Aufgabe Raum Los Teil Knoten Test Platz Gruppe Kapitel Anlage".split(),
    "fr": "client commande article ligne page cas étape salle lot poste groupe essai chapitre annexe".split(),
    "it": "cliente ordine voce riga pagina caso passo sala lotto gruppo prova capitolo allegato".split(),
    "es": "cliente pedido línea página caso paso sala lote grupo prueba capítulo anexo artículo".split(),
}
_FRAMES = ("{}", "{}", "{}", "Q: {}", "- {}", "Subject: {}", "1. {}", '{{"query": "{}"}}', "## {}", "FAQ: {}")
_SIZES = ("", "", " kg", " %", " €", " MB", " ms", " pcs", "/5", " h", ":30", "°C")


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` benign texts of every origin; those made of others keep the family of what they were made of."""
    pools = [list(pool(random.Random(rng.random()), max(count // 2, 200))) for pool in _POOLS]
    makers: tuple[tuple[int, Callable[[], Example]], ...] = (
        (3, lambda: _label(rng)),
        (4, lambda: _fragment(rng.choice(rng.choice(pools)), rng)),
        (3, lambda: _alone(pools[0], rng)),
        (3, lambda: _disguised(rng.choice(pools[rng.choice((0, 1))]), rng)),
        (4, lambda: _unreadable(rng.choice(rng.choice(pools)), rng)),
    )
    weights, choices = [weight for weight, _ in makers], [maker for _, maker in makers]
    yield from (rng.choices(choices, weights)[0]() for _ in range(count))


def _label(rng: random.Random) -> Example:
    lang = rng.choice(sorted(_THINGS))
    parts = [_numbered(lang, rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]
    text = rng.choice((" ", " ", ", ", " / ", " - ", "\n", "; ")).join(parts)
    family = f"{SOURCE}/label/{lang}/{len(parts)}"
    return Example(text, "benign", rng.choice(_ORIGINS), "label", lang, SOURCE, family)


def _numbered(lang: str, rng: random.Random) -> str:
    number = str(rng.choice((rng.randrange(10), rng.randrange(100), rng.randrange(100_000))))
    match rng.randrange(5):
        case 0:
            return rng.choice(_CODES) + number
        case 1:
            slot = rng.choice(("first", "city", "weekday", "month", "company", "product"))
            return f"{rng.choice(words()[lang][slot])} {number}" if slot in words()[lang] else number
        case 2:
            return f"{rng.choice(_THINGS[lang])}{rng.choice((': ', '=', '_', ' = '))}{number}{rng.choice(_SIZES)}"
        case _:
            thing = rng.choice(_THINGS[lang])
            return f"{rng.choice((thing, thing.capitalize()))} {number}"


def _fragment(example: Example, rng: random.Random) -> Example:
    """One to six words from somewhere in a text, as search boxes, subject lines and cut-off messages hold them."""
    found = example.text.split()
    size = min(rng.randint(1, 6), len(found))
    start = rng.randrange(len(found) - size + 1)
    text = " ".join(found[start : start + size])
    return _made(example, text, "fragment", rng.choice(_ORIGINS))


def _alone(asked: Sequence[Example], rng: random.Random) -> Example:
    """A question that is all of a document or a tool's answer: an entry of a FAQ, a quiz, a search, a subject line."""
    found = [e for e in (rng.choice(asked) for _ in range(30)) if e.text.endswith("?") and len(e.text) < 200]
    example = found[0] if found else asked[0]
    same = [e.text for e in found if e.lang == example.lang][: rng.choice((1, 1, 1, 2, 4))] or [example.text]
    frame = rng.choice(_FRAMES)
    text = "\n".join(frame.format(question) for question in same)
    return _made(example, text, "lone-question", rng.choice(("document", "tool")))


def _disguised(example: Example, rng: random.Random) -> Example:
    """Harmless text in the manner that filters are dodged with: the manner alone proves nothing."""
    name = rng.choice(sorted(READ))
    return _made(example, READ[name](example.text[:_LONGEST], rng), f"harmless+{name}", rng.choice(_ORIGINS))


def _unreadable(example: Example, rng: random.Random) -> Example:
    """What the engine decodes before it judges, or nobody can read: for the model it says nothing."""
    text = example.text[: rng.choice((40, 90, 180, _LONGEST))]
    match rng.randrange(5):
        case 0 | 1:
            text = codecs.encode(text, "rot13")
        case 2 | 3:
            text = text[::-1]
        case _:
            text = "".join(rng.sample(text, len(text)))
    return _made(example, text, "unreadable", rng.choice(_ORIGINS))


def _made(example: Example, text: str, kind: str, origin: str) -> Example:
    return msgspec.structs.replace(example, text=text, kind=kind, origin=origin, source=SOURCE, start=0, end=0)
