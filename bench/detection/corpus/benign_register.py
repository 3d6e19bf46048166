"""Knows how people open and close a message; leaves haste and typos to the style all texts share."""

import random
import re
from collections.abc import Mapping

from detection.corpus.attack_style import roughen as hasten

_BEFORE: Mapping[str, tuple[str, ...]] = {
    "en": (
        "hey, ",
        "Hi! ",
        "Hello, ",
        "quick question: ",
        "Quick one: ",
        "ok so ",
        "Hi there, ",
        "Good morning. ",
        "Question: ",
        "Sorry, silly question, but ",
        "Hey everyone, ",
        "Another thing: ",
        "Thanks, that helped. ",
        "hmm, ",
    ),
    "de": (
        "Hallo! ",
        "Hi! ",
        "Guten Tag. ",
        "Kurze Frage: ",
        "Moin! ",
        "Servus! ",
        "Guten Morgen! ",
        "Frage: ",
        "Hallo zusammen! ",
        "Danke, das hat geholfen. ",
        "Noch etwas: ",
        "hey! ",
    ),
    "fr": (
        "bonjour, ",
        "Salut ! ",
        "Bonjour, ",
        "petite question : ",
        "Coucou, ",
        "Question : ",
        "Merci, c'est clair. ",
    ),
    "it": (
        "ciao, ",
        "Buongiorno, ",
        "Salve, ",
        "una domanda: ",
        "Domanda: ",
        "Grazie, chiarissimo. ",
        "Ehi, ",
    ),
    "es": (
        "hola, ",
        "¡Hola! ",
        "Buenos días, ",
        "una pregunta: ",
        "Buenas, ",
        "Oye, ",
        "Gracias, muy claro. ",
    ),
}
_AFTER: Mapping[str, tuple[str, ...]] = {
    "en": (
        " Thanks!",
        " thanks",
        " Thank you.",
        " pls",
        " Please be brief.",
        " Any ideas?",
        " Cheers",
        " thx :)",
        " 🙏",
        " Keep it short.",
        " I'm a beginner.",
        " Explain it step by step.",
        " Thanks in advance!",
        " 😅",
        " asap please",
    ),
    "de": (
        " Danke!",
        " danke",
        " Vielen Dank.",
        " Bitte kurz.",
        " Hat jemand eine Idee?",
        " LG",
        " 🙏",
        " Danke im Voraus!",
        " Bitte Schritt für Schritt.",
        " Ich bin Anfänger.",
        " 😅",
    ),
    "fr": (
        " Merci !",
        " merci",
        " Merci d'avance.",
        " svp",
        " Sois bref.",
        " Une idée ?",
        " 🙏",
        " Je débute.",
        " 😅",
    ),
    "it": (
        " Grazie!",
        " grazie",
        " Grazie mille.",
        " per favore",
        " In breve.",
        " Qualche idea?",
        " 🙏",
        " 😅",
    ),
    "es": (
        " ¡Gracias!",
        " gracias",
        " Muchas gracias.",
        " por favor",
        " Sé breve.",
        " ¿Alguna idea?",
        " 🙏",
        " 😅",
    ),
}
_SHORT, _LONG = 16, 250  # nobody says "quick one" before one word or before half a page


_AN = re.compile(r"\b([Aa])(?= (?:a|e(?!u)|i|o(?!ne)|un(?!i))[a-z])")


def with_articles(text: str, lang: str) -> str:
    """The text with `an` before a vowel, where a slot put the word behind an English article."""
    return _AN.sub(r"\1n", text) if lang == "en" else text


def roughen(rng: random.Random, text: str, lang: str) -> str:
    """Return the text as it might be typed: with a greeting, with thanks, in haste, or as it is."""
    roll = rng.random() if "\n" not in text and _SHORT < len(text) < _LONG else 1.0
    if roll < 0.10:
        text = _lead(rng, text, lang)
    elif roll < 0.18:
        text += rng.choice(_AFTER[lang])
    elif roll < 0.21:
        text = _lead(rng, text, lang) + rng.choice(_AFTER[lang])
    return hasten(text, rng)


def _lead(rng: random.Random, text: str, lang: str) -> str:
    before = rng.choice(_BEFORE[lang])
    # German nouns, names, acronyms and "I" keep their capital after a comma.
    if lang != "de" and before.endswith((", ", ": ", "but ", "so ")) and text[1:2].islower():
        text = text[0].lower() + text[1:]
    return before + text
