"""Knows how different people type the same text; refuses to know whether it is an attack, and treats both alike."""

import random
import re
from collections.abc import Mapping

from detection.corpus.attack_style import roughen

OPENERS: Mapping[str, tuple[str, ...]] = {
    "en": ("hey ", "Hi! ", "ok so ", "yo ", "Dear assistant, ", "Good evening. ", "um, ", "bro ", "listen, ", "Quick thing: ", "Excuse me, ", "hello?? ", "Hello, I hope you are well. ", "sooo ", "Kindly note: ", "Ladies and gentlemen, ", "Right, ", "Sorry to bother you, ", "pls ", "Ahoy! ", "Thanks for that. ", "It's me again. ", "Dear Sir or Madam, ", "lol ok ", "wait, ", "Look, ", "Okay then. ", "Servus! ", "Bonjour! ", "Hola, "),
    "de": ("hey ", "Hallo! ", "Moin, ", "also ", "Guten Abend. ", "ähm, ", "Digga, ", "hör mal, ", "Kurz was: ", "Entschuldigung, ", "hallo?? ", "Sehr geehrte Damen und Herren, ", "sooo ", "Na gut. ", "Grüezi, ", "bitte bitte ", "Danke dafür. ", "Ich bin's wieder. ", "okay, ", "warte, ", "Alter, ", "Hi, sorry for my German. ", "Hello, "),
    "fr": ("salut ", "Bonjour, ", "euh, ", "Bonsoir. ", "dis, ", "Excusez-moi, ", "coucou ! ", "Madame, Monsieur, ", "bon, ", "attends, ", "Merci pour ça. ", "Hello, "),
    "es": ("oye ", "Hola, ", "eh, ", "Buenas tardes. ", "mira, ", "Disculpe, ", "¡buenas! ", "Estimados señores, ", "bueno, ", "espera, ", "Gracias por eso. ", "Hello, "),
    "it": ("ehi ", "Ciao, ", "ehm, ", "Buonasera. ", "senti, ", "Scusi, ", "buongiorno! ", "Gentili signori, ", "allora, ", "aspetta, ", "Grazie per questo. ", "Hello, "),
}  # fmt: skip
CLOSERS: Mapping[str, tuple[str, ...]] = {
    "en": (" thx", " Thank you very much.", " pls", " please!!", " lol", " I'm waiting.", " Regards, Sam", " ok?", " Thanks in advance for your kind help.", " 🙏🙏", " 😅", " asap", " bye", " k thx", " Would be great.", " Go.", " Much obliged.", " xoxo", " Over to you.", " Sent from my phone"),
    "de": (" danke", " Vielen Dank im Voraus.", " pls", " bitte!!", " lol", " Ich warte.", " Mit freundlichen Grüßen, S. Weber", " ok?", " 🙏", " 😅", " lg", " tschüss", " Wäre super.", " Los.", " Von meinem Handy gesendet", " ne?", " gell?"),
    "fr": (" merci", " Merci d'avance.", " svp", " stp !!", " mdr", " J'attends.", " Cordialement, Paul", " ok ?", " 🙏", " bisous", " Allez."),
    "es": (" gracias", " Muchas gracias de antemano.", " porfa", " ¡¡por favor!!", " jaja", " Espero.", " Saludos, Ana", " ¿vale?", " 🙏", " Venga."),
    "it": (" grazie", " Grazie mille in anticipo.", " per favore", " dai!!", " ahah", " Aspetto.", " Cordiali saluti, Luca", " ok?", " 🙏", " Forza."),
}  # fmt: skip
SPEAK: Mapping[str, Mapping[str, str]] = {
    "en": {"you": "u", "your": "ur", "are": "r", "please": "pls", "because": "cuz", "and": "n", "to": "2", "for": "4", "going": "goin", "what": "wat", "the": "da", "though": "tho", "with": "w/", "people": "ppl", "about": "abt", "want": "wanna", "message": "msg", "before": "b4", "instructions": "instructionz", "really": "rly", "have": "hav"},
    "de": {"nicht": "nich", "ein": "n", "eine": "ne", "ist": "is", "habe": "hab", "vielleicht": "vllt", "bitte": "bidde", "und": "u", "auf": "uff", "jetzt": "jz", "einfach": "einfch", "etwas": "was", "wirklich": "echt", "ich": "isch"},
    "fr": {"tu": "t", "que": "ke", "pas": "pa", "tout": "tt", "pour": "pr", "vous": "vs", "toujours": "tjr", "quoi": "koi", "les": "lé"},
    "es": {"que": "q", "por": "x", "porque": "xq", "también": "tb", "para": "pa", "de": "d", "todo": "to"},
    "it": {"che": "ke", "non": "nn", "per": "x", "perché": "xke", "comunque": "cmq", "sono": "sn", "tutto": "tt"},
}  # fmt: skip
FOREIGN: Mapping[str, Mapping[str, str]] = {  # slips of those who write in a language that is not theirs
    "en": {"the": "", "a": "", "an": "", "is": "are", "are": "is", "were": "was", "have": "has", "your": "you", "do": "make"},
    "de": {"der": "die", "den": "der", "dem": "den", "einen": "ein", "die": "das", "eine": "ein", "ist": "sein"},
    "fr": {"le": "la", "la": "le", "des": "les", "une": "un", "ton": "ta", "au": "à le"},
    "es": {"la": "el", "el": "la", "una": "un", "tus": "tu", "está": "es"},
    "it": {"il": "lo", "la": "il", "una": "un", "tue": "tuoi", "è": "e"},
}  # fmt: skip
LONG = 700  # code points: essays keep their openings and are roughened less


def as_typed(text: str, lang: str, rng: random.Random) -> str:
    """Return the text as it is, or in one of the registers people write in."""
    typed = _typed(text, lang, rng)
    return typed if typed.strip() else text  # a lone "?" has nothing left to drop


def _typed(text: str, lang: str, rng: random.Random) -> str:
    roll = rng.random() * (2.0 if len(text) > LONG else 1.0)
    if roll < 0.10:
        return _opened(text, lang, rng)
    if roll < 0.17:
        return text + rng.choice(CLOSERS[lang])
    if roll < 0.20:
        return _opened(text, lang, rng) + rng.choice(CLOSERS[lang])
    if roll < 0.25:
        return _words(text, SPEAK[lang], rng, 0.7).lower()
    if roll < 0.29:
        return _words(text, FOREIGN[lang], rng, 0.5)
    if roll < 0.33:
        return re.sub(r"[.,;:!?'\"]", "", text).lower()
    if roll < 0.36:
        return text.upper()
    return roughen(text, rng, 0.2)


def _opened(text: str, lang: str, rng: random.Random) -> str:
    opener = rng.choice(OPENERS[lang])
    if lang != "de" and not opener.endswith((". ", "! ", "? ")) and text[1:2].islower():
        text = text[0].lower() + text[1:]
    return opener + text


def _words(text: str, swaps: Mapping[str, str], rng: random.Random, rate: float) -> str:
    def swap(match: re.Match[str]) -> str:
        word = match.group()
        new = swaps.get(word.lower())
        return word if new is None or rng.random() >= rate else new

    return re.sub(r"  +", " ", re.sub(r"[^\W\d_]+", swap, text))
