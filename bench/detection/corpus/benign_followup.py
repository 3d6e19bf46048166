"""Knows what people type in the middle of a chat: again, go on, undo, in German please. All about their own talk."""

import random
import re
from collections.abc import Iterator, Mapping

from detection.corpus.attack_style import roughen
from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal
from detection.corpus.example import Example

SOURCE = "benign_followup"
SHARES: Mapping[str, float] = {"en": 0.45, "de": 0.33, "fr": 0.08, "it": 0.07, "es": 0.07}
_LEADS: Mapping[str, tuple[str, ...]] = {
    "en": ("Thanks! ", "Hmm. ", "Nice. ", "Right. ", "Great, thank you. ", "Hi again! ", "One more thing. ", "Ah. "),
    "de": ("Danke! ", "Hm. ", "Super. ", "Gut. ", "Ah okay. ", "Noch was: ", "Perfekt, danke. ", "So. "),
    "fr": ("Merci ! ", "Hum. ", "Parfait. ", "D'accord. ", "Ah oui. "),
    "it": ("Grazie! ", "Mah. ", "Perfetto. ", "Va bene. ", "Ah, ecco. "),
    "es": ("¡Gracias! ", "Hmm. ", "Perfecto. ", "Vale. ", "Ah, bien. "),
}
_LED, _LONGEST = 0.12, 200
_AN = re.compile(r"\b([Aa])(?= (?:a|e(?!u)|i|o(?!ne)|un(?!i))[a-z])")


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` harmless later turns of a chat, origin `user`."""
    cards = bank_cards(read_banks(f"{SOURCE}_", "followup", "user"), _typed)
    hands = {lang: deal(rng, count, [card for card in cards if card.lang == lang], SOURCE) for lang in SHARES}
    for lang in rng.choices(list(SHARES), list(SHARES.values()), k=count):
        yield next(hands[lang])


def _typed(rng: random.Random, text: str, lang: str) -> str:
    text = _AN.sub(r"\1n", text) if lang == "en" else text
    if len(text) < _LONGEST and text[0].isupper() and "\n" not in text and rng.random() < _LED:
        text = rng.choice(_LEADS[lang]) + text
    return roughen(text, rng)
