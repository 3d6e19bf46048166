"""Writes what tools give back to agents, with an order to the agent in one field, and twins whose orders are for people."""

import json
import random
import re
from collections.abc import Iterator

import msgspec

from detection.corpus.attack_frames import LANGUAGES, TRIES, Deck, Draw, tidy
from detection.corpus.attack_grammar import Bank, load
from detection.corpus.attack_style import roughen
from detection.corpus.example import Example

SOURCE = "attack_agent_result"
ORIGINS = {"tool": 70, "document": 30}
GAP = "%%"  # and a pilcrow stands for the escape of a line break inside JSON
ADDRESSED = ("mail", "talk", "doc")  # here people give each other orders: one without a mark would be no attack
FOREIGN = 0.08  # share of passages in another language than their carrier
SAME = 0.6  # share of twins in the very carrier of their attack
COMPANY = 0.35  # share of passages with a harmless one beside them
WRAPPED = 0.25  # share of plain results of a tool inside a JSON string
PAIRED = 0.4  # share of harmless passages of two: theirs are shorter than the attacks
SHORTEST = 80
ROUGH = 0.06
_GLUES = (" ", " ", " ", "\n", "\n\n")
_KEYS = ("result", "content", "output", "text", "body", "page", "data", "response")
_LEAD = re.compile(r"(?m)^([ \t]*(?:#|//|--|\*|>)?[ \t]*).*?%%")


class Decks(msgspec.Struct, frozen=True):
    """The banks: results with a gap, what an attacker puts there, what anybody else does."""

    carriers: Deck
    attacks: Deck
    twins: Deck


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count attacks, each followed by its benign twin: the same kind of result, with an order for people."""
    decks = Decks(_open("carrier"), _open("attack"), _open("twin"))
    seen: set[str] = set()
    for _ in range(count):
        for _attempt in range(TRIES):
            attack, twin = _pair(decks, rng)
            if not {attack.text, twin.text} & seen and min(len(attack.text), len(twin.text)) >= SHORTEST:
                break
        seen |= {attack.text, twin.text}
        yield attack
        yield twin


def _open(name: str) -> Deck:
    neutral = load("xx", "agent_result_common").slots
    banks = {lang: load(lang, f"agent_result_{name}") for lang in LANGUAGES}
    return Deck({lang: Bank(bank.families, {**neutral, **bank.slots}) for lang, bank in banks.items()})


def _kept(deck: Deck, lang: str, kinds: tuple[str, ...], keep: bool) -> Deck:
    """The deck of one language with those kinds of families only, or without them."""
    bank = deck.banks[lang]
    return Deck({lang: Bank(tuple(family for family in bank.families if (family.kind in kinds) == keep), bank.slots)})


def _pair(decks: Decks, rng: random.Random) -> tuple[Example, Example]:
    lang = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    origin = rng.choices(list(ORIGINS), list(ORIGINS.values()))[0]
    carrier = decks.carriers.draw(rng, lang)
    seed = rng.random()
    attack = _written(decks, carrier, origin, True, random.Random(seed), rng)
    if rng.random() >= SAME:
        carrier = decks.carriers.draw(rng, lang)
    return attack, _written(decks, carrier, origin, False, random.Random(seed), rng)


def _written(
    decks: Decks, carrier: Draw, origin: str, hostile: bool, place: random.Random, rng: random.Random
) -> Example:
    """The carrier with a passage in its gap; `place` decides alike for both of a pair what surrounds the passage."""
    lang, kind = carrier.lang, carrier.family.kind
    spoken = place.choice([other for other in LANGUAGES if other != lang]) if place.random() < FOREIGN else lang
    if hostile:
        flats = ("flat",) if kind in ADDRESSED else ()
        drawn = _kept(decks.attacks, spoken, flats, False).draw(rng, spoken)
    else:
        drawn = _kept(decks.twins, spoken, (kind,), True).draw(rng, spoken)
    passage = roughen(tidy(drawn.text), rng, ROUGH)
    if not hostile and rng.random() < PAIRED:
        passage += " " + tidy(_kept(decks.twins, spoken, (kind,), True).draw(rng, spoken).text)
    company = place.random()
    glue = place.choice(_GLUES)
    wrapped = origin == "tool" and place.random() < WRAPPED
    key, indent = place.choice(_KEYS), place.choice((None, None, 2))
    before = after = ""
    if company < COMPANY:
        beside = tidy(_kept(decks.twins, lang, (kind,), True).draw(rng, lang).text)
        before, after = (beside + glue, "") if company < COMPANY / 2 else ("", glue + beside)
    text, start, end = _filled(carrier.text.replace("¶", "\\n"), before, passage, after)
    for _ in range(place.choices((0, 1, 2, 5, 9), (60, 15, 10, 9, 6))[0]):
        other = _neighbour(decks, lang, kind, rng) + "\n\n"
        if place.random() < 0.5:
            text, start, end = other + text, start + len(other), end + len(other)
        else:
            text = text + "\n\n" + other.rstrip()
    if wrapped and not _is_json(text):
        shell = json.dumps({key: GAP}, indent=indent)
        cuts = (text[:start], text[start:end], text[end:])
        head, inner, tail = (json.dumps(part, ensure_ascii=False)[1:-1] for part in cuts)
        opened = shell.index(GAP) + len(head)
        text, start, end = shell.replace(GAP, head + inner + tail), opened, opened + len(inner)
    family = drawn.template if hostile else f"twin.{drawn.template}"
    return Example(
        text=text,
        label="injection" if hostile else "benign",
        origin=origin,
        kind=kind if hostile else "twin",
        lang=lang,
        source=SOURCE,
        template=f"{SOURCE}/{spoken}.{family}",
        start=start if hostile else 0,
        end=end if hostile else 0,
    )


def _neighbour(decks: Decks, lang: str, kind: str, rng: random.Random) -> str:
    """Another result of the same kind, harmless."""
    carrier = _kept(decks.carriers, lang, (kind,), True).draw(rng, lang)
    aside = tidy(_kept(decks.twins, lang, (kind,), True).draw(rng, lang).text)
    return _filled(carrier.text.replace("¶", "\\n"), "", aside, "")[0].strip()


def _is_json(carrier: str) -> bool:
    return carrier.startswith(('{"', "{\n", "[{"))


def _filled(carrier: str, before: str, passage: str, after: str) -> tuple[str, int, int]:
    """The carrier with its gap filled as its format asks, and where the passage stands."""
    parts = [before, passage, after]
    if _is_json(carrier):
        parts = [json.dumps(part, ensure_ascii=False)[1:-1] for part in parts]
    elif '"' + GAP in carrier and "\n" in carrier:
        parts = [re.sub(r"\s*\n\s*", " ", part.replace('"', "'")) for part in parts]
    else:
        lead = _LEAD.search(carrier)
        parts = [part.replace("\n", "\n" + (lead.group(1) if lead else "")) for part in parts]
    at = carrier.index(GAP)
    start = at + len(parts[0])
    return carrier[:at] + "".join(parts) + carrier[at + len(GAP) :], start, start + len(parts[1])
