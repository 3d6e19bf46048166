"""Composes long prompts from interchangeable sections of a bank; refuses to know whether they are attacks."""

import random

from detection.corpus.attack_frames import Deck, Draw, tidy
from detection.corpus.attack_grammar import Bank, expand

RULES = "rule"  # the slot whose entries become a list
SIZES = (0, 1, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16)  # sections after the premise: from a paragraph to an essay
GAPS = ("\n\n", "\n\n", "\n", " ")


def compose(deck: Deck, rng: random.Random, sections: tuple[str, ...], close: str) -> tuple[Draw, str]:
    """Draw a premise and build a prompt on it: up to all `sections` (slot names) in any order, then the slot `close`.

    Names such as `$persona1` mean the same in the whole prompt, whichever section they stand in.
    """
    drawn = deck.draw(rng)
    bank = deck.banks[drawn.lang]
    present = [name for name in sections if name in bank.slots]
    twice = [*present, *present]  # a slot says something else the second time
    chosen = rng.sample(twice, min(rng.choice(SIZES), len(twice)))
    parts = [drawn.frame]
    for name in chosen:
        parts.append(_rules(bank, rng) if name == RULES else f"${name}")
    if rng.random() < 0.12 and len(parts) > 1:
        parts[0], parts[1] = parts[1], parts[0]
    if rng.random() < 0.85:
        parts.append(f"${close}")
    frame = rng.choice(GAPS).join(parts)
    return drawn, tidy(expand(frame, bank.slots, rng))


def premise(drawn: Draw) -> str:
    """The name of the premise, for the split: each frame is a family of its own, since sections follow it."""
    return f"{drawn.family.id}.{drawn.family.frames.index(drawn.frame)}"


def _rules(bank: Bank, rng: random.Random) -> str:
    """Some entries of the slot of rules: numbered, with dashes, or as running text."""
    rules = rng.sample(bank.slots[RULES], min(rng.choice((2, 3, 4, 5, 6, 8, 10)), len(bank.slots[RULES])))
    head = "$rule_head\n" if rng.random() < 0.6 else ""
    shape = rng.randrange(6)
    if shape == 0:
        return head + " ".join(rules)
    if shape == 1:
        return head + "\n".join(rules)
    mark = rng.choice(("- ", "* ", "• ", "{}. ", "{}) ", "({}) ", "#{} "))
    return head + "\n".join(mark.format(number) + rule for number, rule in enumerate(rules, 1))
