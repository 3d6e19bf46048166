"""Puts a text into the shapes of office software: mail, HTML page, JSON answer; knows no content but their furniture."""

import json
import random
import re
from collections.abc import Callable, Mapping
from html import escape

from detection.corpus.benign_facts import FACTS, hexes, iso_date, iso_time

DRESSED = 0.3  # share of written texts that stand in a mail, a web page or a tool's answer
_MENU: Mapping[str, tuple[str, ...]] = {
    "en": ("Home", "About us", "Contact", "Log in", "Search", "Accept all cookies", "Privacy policy", "Skip to content", "Share this page",
           "Subscribe", "Read more", "Back to top", "Terms of use", "My account", "Print", "Report a problem", "Download as PDF", "Edit page"),
    "de": ("Startseite", "Über uns", "Kontakt", "Anmelden", "Suche", "Alle Cookies akzeptieren", "Datenschutz", "Zum Inhalt springen", "Teilen",
           "Abonnieren", "Weiterlesen", "Nach oben", "AGB", "Mein Konto", "Drucken", "Problem melden", "Als PDF laden", "Seite bearbeiten"),
    "fr": ("Accueil", "Contact", "Se connecter", "Recherche", "Tout accepter", "Confidentialité", "Partager", "Lire la suite", "Imprimer"),
    "it": ("Home", "Contatti", "Accedi", "Cerca", "Accetta tutti i cookie", "Privacy", "Condividi", "Leggi tutto", "Stampa"),
    "es": ("Inicio", "Contacto", "Iniciar sesión", "Buscar", "Aceptar todas", "Privacidad", "Compartir", "Leer más", "Imprimir"),
}  # fmt: skip
_HEADS: Mapping[str, tuple[str, str, str, str]] = {
    "en": ("From", "To", "Subject", "Date"),
    "de": ("Von", "An", "Betreff", "Datum"),
    "fr": ("De", "À", "Objet", "Date"),
    "it": ("Da", "A", "Oggetto", "Data"),
    "es": ("De", "Para", "Asunto", "Fecha"),
}
_BODIES = (
    "body",
    "text",
    "content",
    "message",
    "description",
    "notes",
    "page_content",
    "snippet",
    "bodyPreview",
    "plainText",
    "markdown",
    "output",
)


def reshape(rng: random.Random, text: str, origin: str, lang: str) -> tuple[str, str]:
    """Return the text in another shape, or as it is, and the origin that the shape has."""
    if text[:1] in "{[" and (value := _parsed(text)) is not None:
        return _json(rng, value), origin
    if rng.random() > DRESSED or text.startswith(("<", "{", "[")):
        return text, rng.choice((origin, origin, origin, "tool"))
    shape: Callable[[random.Random, str, str], str] = rng.choice((_mail, _html, _html, _answer, _answer, _listed))
    return shape(rng, text, lang), "tool" if shape in (_answer, _listed) else rng.choice((origin, "tool"))


def _parsed(text: str) -> object | None:
    try:
        return json.loads(text, strict=False)  # type: ignore[no-any-return]
    except ValueError:
        return None


def _json(rng: random.Random, value: object) -> str:
    if rng.random() < 0.4:
        value = _camel(value)
    if rng.random() < 0.25:
        value = rng.choice((_enveloped, _called))(rng, value)
    if rng.random() < 0.1:
        return repr(value)
    return json.dumps(value, ensure_ascii=rng.random() < 0.1, indent=rng.choice((None, None, 2, 2, 4)))


def _camel(value: object) -> object:
    if isinstance(value, dict):
        return {
            re.sub(r"_([a-z])", lambda found: found[1].upper(), str(key)): _camel(inner) for key, inner in value.items()
        }
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


def _enveloped(rng: random.Random, value: object) -> object:
    extras: tuple[dict[str, object], ...] = (
        {"status": "success"}, {"ok": True, "error": None}, {"code": 200, "message": "OK"}, {"request_id": hexes(rng, 12)},
        {"meta": {"page": 1, "has_more": False}}, {"fetched_at": iso_time(rng)}, {"warnings": []}, {"isError": False},
    )  # fmt: skip
    return {**rng.choice(extras), rng.choice(("data", "result", "response", "payload", "content")): value}


def _called(rng: random.Random, value: object) -> object:
    return {"type": "text", "text": json.dumps(value, ensure_ascii=False)} if rng.random() < 0.5 else [value]


def _mail(rng: random.Random, text: str, lang: str) -> str:
    sender, receiver, subject, date = _HEADS[lang]
    title = re.sub(r"[#*|>`\n].*", "", text.lstrip("#* >")).strip()
    title = title if len(title) < 60 else title[:60].rsplit(" ", 1)[0]
    lines = [f"{sender}: {FACTS['email'](rng, lang)}", f"{receiver}: {FACTS['email'](rng, lang)}"]
    lines += [f"{date}: {iso_date(rng)}"] * (rng.random() < 0.5)
    return "\n".join([*lines, f"{subject}: {title or date}"]) + "\n\n" + text


def _html(rng: random.Random, text: str, lang: str) -> str:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    body = "\n".join(_element(line) for line in lines)
    if rng.random() < 0.3:
        return body
    menu = rng.sample(_MENU[lang], rng.randint(2, 5))
    nav = "".join(f'<a href="/{hexes(rng, 4)}">{label}</a>' for label in menu)
    foot = " | ".join(rng.sample(_MENU[lang], 2))
    page = f"<nav>{nav}</nav>\n<main>\n{body}\n</main>\n<footer>{foot}</footer>"
    return (
        page
        if rng.random() < 0.6
        else f"<html><head><title>{escape(lines[0][:50])}</title></head>\n<body>{page}</body></html>"
    )


def _element(line: str) -> str:
    inner = escape(re.sub(r"^(?:#+|[-*>]) ", "", line), quote=False)
    if line.startswith("#"):
        return f"<h2>{inner}</h2>"
    return f"<li>{inner}</li>" if line.startswith(("- ", "* ")) else f"<p>{inner}</p>"


def _answer(rng: random.Random, text: str, lang: str) -> str:
    fields: tuple[tuple[str, object], ...] = (
        ("id", rng.choice((rng.randint(1, 99999), hexes(rng, 10)))), ("title", " ".join(text.split()[:5]).strip("#*:. ")),
        ("author", FACTS["person"](rng, lang)), ("created_at", iso_time(rng)), ("url", FACTS["url"](rng, lang)), ("lang", lang),
        ("owner", {"name": FACTS["person"](rng, lang), "email": FACTS["email"](rng, lang)}), ("tags", []), ("unread", rng.random() < 0.5),
        ("permissions", ["read"]), ("score", round(rng.random(), 3)), ("status", rng.choice(("open", "published", "ok", "done", "draft"))),
    )  # fmt: skip
    chosen = rng.sample(fields, rng.randint(0, 5))
    chosen.insert(rng.randint(0, len(chosen)), (rng.choice(_BODIES), text))
    value: object = dict(chosen)
    return _json(
        rng,
        {rng.choice(("results", "items", "messages", "documents", "hits")): [value]} if rng.random() < 0.3 else value,
    )


def _listed(rng: random.Random, text: str, lang: str) -> str:
    parts = [part for part in re.split(r"\n+|(?<=[.!?])\s+", text) if part.strip()][: rng.randint(2, 6)]
    rows: list[dict[str, object]] = [
        {"id": rng.randint(1, 999), "user": FACTS["person"](rng, lang), "ts": iso_time(rng), "text": part}
        for part in parts
    ]
    keys = rng.sample(("id", "user", "ts"), rng.randint(0, 3))
    return _json(rng, [{key: inner for key, inner in row.items() if key == "text" or key in keys} for row in rows])
