"""Knows what people type in the middle of a chat: again, go on, undo, in German please. All about their own talk."""

import random
from collections.abc import Iterator, Mapping

from detection.corpus.attack_style import roughen
from detection.corpus.benign_bank import read_banks
from detection.corpus.benign_deck import bank_cards, deal_shares
from detection.corpus.benign_register import with_articles
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


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield `count` harmless later turns of a chat, origin `user`."""
    cards = bank_cards(read_banks(f"{SOURCE}_", "followup", "user"), _typed)
    return deal_shares(rng, count, cards, SOURCE, SHARES)


def _typed(rng: random.Random, text: str, lang: str) -> str:
    text = with_articles(text, lang)
    if len(text) < _LONGEST and text[0].isupper() and "\n" not in text and rng.random() < _LED:
        text = rng.choice(_LEADS[lang]) + text
    return roughen(text, rng)
