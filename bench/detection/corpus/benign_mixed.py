"""Knows how people mix languages: lead-ins, pasted texts, code-switching, bilingual papers and records. All harmless."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping

from detection.corpus import benign_brief, benign_business, benign_carried, benign_chat, benign_news, benign_office
from detection.corpus.attack_frames import LANGUAGES, TRIES, Deck, Draw, distinct, tidy
from detection.corpus.attack_grammar import Bank, load
from detection.corpus.benign_register import roughen
from detection.corpus.example import Example
from detection.corpus.manner_register import as_typed

SOURCE = "benign_mixed"
LINES = "mixed_line"  # in the format of the attack banks, hence their names
BANKS: Mapping[str, str] = {"user": "mixed_user", "document": "mixed_page", "tool": "mixed_tool"}
ORIGINS: Mapping[str, int] = {"user": 65, "document": 20, "tool": 15}  # shares in percent; they add up to 100
SHORTEST, LONGEST = 80, 900  # code points of a pasted text
AS_ATTACKERS = 0.4  # typed in the registers of the attack banks, so that the register tells nothing
POOL = 260  # texts drawn from every generator for the pools
_PASTE = re.compile(r"⟪([a-z]{2}(?:,[a-z]{2})*)⟫")
_SAME = re.compile(r"‹([a-z]{2}):(\d+)›")
_STOP = re.compile(r"\.(?= ?[\"'“»]+(?:[?.]|,? [^\W\d_A-ZÄÖÜ]))")  # the full stop of a quoted line amid a sentence
_SENTENCE = re.compile(r"[^\n.!?]{14,}[.!?]")

Lines = Mapping[str, tuple[str, ...]]
Pool = Mapping[str, list[str]]


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` harmless texts in two or more languages, of every origin."""
    lines = load("xx", LINES).slots
    decks = {origin: _deck(name, lines) for origin, name in BANKS.items()}
    drawn = list(_pasted(random.Random(rng.random())))
    pages = _by_lang(made for made in drawn if made.origin != "user")  # no page or record holds what a user asks for
    pools = {"user": _by_lang(drawn), "document": pages, "tool": pages}
    return distinct(lambda: _example(decks, pools, rng), count)


def _deck(name: str, lines: Lines) -> Deck:
    banks = {lang: load(lang, name) for lang in LANGUAGES}
    return Deck({lang: Bank(bank.families, {**lines, **bank.slots}) for lang, bank in banks.items()})


def _pasted(rng: random.Random) -> Iterator[Example]:
    """What the other harmless generators write, where its length suits a paste."""
    for module in (benign_chat, benign_business, benign_news, benign_office, benign_carried, benign_brief):
        yield from (made for made in module.generate(rng, POOL) if SHORTEST <= len(made.text) <= LONGEST)


def _by_lang(examples: Iterable[Example]) -> Pool:
    pool: dict[str, list[str]] = {lang: [] for lang in LANGUAGES}
    for made in examples:
        pool[made.lang].append(made.text)
    return pool


def _example(decks: Mapping[str, Deck], pools: Mapping[str, Pool], rng: random.Random) -> Example:
    origin = rng.choices(list(ORIGINS), list(ORIGINS.values()))[0]
    deck = decks[origin]
    drawn, text = _drawn(deck, rng)
    for _ in range(TRIES):
        if not _says_twice(text):
            break
        drawn, text = _drawn(deck, rng)
    if origin == "user" and not _PASTE.search(text):
        text = as_typed(text, drawn.lang, rng) if rng.random() < AS_ATTACKERS else roughen(rng, text, drawn.lang)
    return Example(
        text=_PASTE.sub(lambda match: rng.choice(pools[origin][rng.choice(match[1].split(","))]), text),
        label="benign",
        origin=origin,
        kind=drawn.family.kind,
        lang=drawn.lang,
        source=SOURCE,
        template=f"{SOURCE}/{drawn.template}",
    )


def _drawn(deck: Deck, rng: random.Random) -> tuple[Draw, str]:
    """A frame of the deck and its text, in which lines of the same number say the same in their languages."""
    drawn = deck.draw(rng)
    lines = deck.banks[drawn.lang].slots
    text = _SAME.sub(lambda match: lines[f"{match[1]}_same"][int(match[2])], tidy(drawn.text))
    return drawn, _STOP.sub("", text)


def _says_twice(text: str) -> bool:
    said = _SENTENCE.findall(text)
    return len({sentence.strip(" -123.") for sentence in said}) < len(said)
