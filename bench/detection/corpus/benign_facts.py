"""Knows how to make up numbers, dates, addresses and ids; none of them points at anything real."""

import random
from collections.abc import Callable, Mapping

from detection.corpus.benign_words import words

Fact = Callable[[random.Random, str], str]
_HEX = "0123456789abcdef"
_CAPITALS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_ASCII = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "ß": "ss",
        "é": "e",
        "è": "e",
        "ê": "e",
        "ç": "c",
        "à": "a",
        "á": "a",
        "í": "i",
        "ó": "o",
        "ú": "u",
        "ñ": "n",
        "ò": "o",
        "ù": "u",
        "ì": "i",
        "ï": "i",
        "ô": "o",
        "ë": "e",
    }
)


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def hexes(rng: random.Random, count: int) -> str:
    """Return `count` random hexadecimal digits."""
    return "".join(rng.choice(_HEX) for _ in range(count))


def _date(rng: random.Random, lang: str) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2019, 2027)
    name = words()[lang]["month"][month - 1]
    shapes = {
        "en": (f"{name} {day}, {year}", f"{day} {name} {year}", f"{name} {day}", f"{month}/{day}/{year}"),
        "de": (f"{day}. {name} {year}", f"{day:02}.{month:02}.{year}", f"{day}. {name}", f"{day}.{month}."),
        "fr": (f"{day} {name} {year}", f"{day:02}/{month:02}/{year}", f"{day} {name}"),
        "it": (f"{day} {name} {year}", f"{day:02}/{month:02}/{year}", f"{day} {name}"),
        "es": (f"{day} de {name} de {year}", f"{day:02}/{month:02}/{year}", f"{day} de {name}"),
    }
    return rng.choice(shapes[lang])


def iso_date(rng: random.Random, _lang: str = "en") -> str:
    """Return a date such as 2026-03-09."""
    return f"{rng.randint(2019, 2027)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def iso_time(rng: random.Random, _lang: str = "en") -> str:
    """Return a time stamp such as 2026-03-09T14:02:51Z."""
    return f"{iso_date(rng)}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"


def _time(rng: random.Random, lang: str) -> str:
    hour, minute = rng.randint(7, 20), rng.choice((0, 15, 30, 45, 10, 5, 20))
    if lang == "en":
        return rng.choice((f"{(hour - 1) % 12 + 1}:{minute:02} {'am' if hour < 12 else 'pm'}", f"{hour}:{minute:02}"))
    if lang == "de":
        return f"{hour}:{minute:02} Uhr"
    return f"{hour}h{minute:02}" if lang == "fr" else f"{hour}:{minute:02}"


def _money(rng: random.Random, lang: str) -> str:
    amount = rng.choice((rng.uniform(3, 99), rng.uniform(100, 999), rng.uniform(1000, 48000)))
    plain = f"{amount:,.2f}" if rng.random() < 0.6 else f"{round(amount):,}"
    if lang == "en":
        return rng.choice(("$", "£", "€")) + plain
    swapped = plain.replace(",", " ").replace(".", ",").replace(" ", " " if lang == "fr" else ".")
    return f"{swapped} {rng.choice(('€', '€', 'EUR'))}"


def _mailbox(rng: random.Random, lang: str) -> str:
    first, last = rng.choice(words()[lang]["first"]), rng.choice(words()[lang]["last"])
    host = rng.choice(words()["en"]["hostname"])
    joined = rng.choice((f"{first}.{last}", f"{first[0]}.{last}", first, f"{first}{rng.randint(1, 99)}"))
    return joined.lower().replace(" ", "").replace("'", "").translate(_ASCII) + "@" + host


def _phone(rng: random.Random, lang: str) -> str:
    lead = {
        "en": "+44 20 7946",
        "de": "+49 30 5550",
        "fr": "+33 1 99 00",
        "it": "+39 06 5550",
        "es": "+34 910 050",
    }
    return f"{lead[lang]} {_digits(rng, 4)}"


FACTS: Mapping[str, Fact] = {
    "date": _date,
    "isodate": iso_date,
    "isotime": iso_time,
    "time": _time,
    "money": _money,
    "email": _mailbox,
    "phone": _phone,
    "person": lambda rng, lang: f"{rng.choice(words()[lang]['first'])} {rng.choice(words()[lang]['last'])}",
    "url": lambda rng, lang: f"https://{rng.choice(words()['en']['hostname'])}/{rng.choice(words()['en']['slug'])}",
    "id": lambda rng, _: f"{rng.choice(_CAPITALS)}{rng.choice(_CAPITALS)}-{_digits(rng, rng.randint(3, 6))}",
    "num": lambda rng, _: _digits(rng, rng.randint(4, 7)).lstrip("0") or "7",
    "hex": lambda rng, _: hexes(rng, 8),
    "sha": lambda rng, _: hexes(rng, 40),
    "uuid": lambda rng, _: "-".join(hexes(rng, size) for size in (8, 4, 4, 4, 12)),
    "ip": lambda rng, _: f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
    "version": lambda rng, _: f"{rng.randint(0, 9)}.{rng.randint(0, 30)}.{rng.randint(0, 12)}",
    "percent": lambda rng, lang: f"{rng.randint(1, 97)}{'%' if lang in ('en', 'it') else ' %'}",
    "year": lambda rng, _: str(rng.randint(1950, 2026)),
    "ref": lambda rng, _: f"#{rng.randint(100, 99999)}",
}
