"""Writes short data with an ordinary task in it that nobody asked for, and beside each the data with more data there.

The tasks bear no trigger word: what makes them attacks is only that they do not belong to the data.
"""

import json
import random
import re
from collections.abc import Callable, Iterator

import msgspec

from detection.corpus.attack_carriers import carriers
from detection.corpus.attack_frames import LANGUAGES, TRIES, Deck, Draw, finished, open_deck, tidy
from detection.corpus.attack_grammar import Bank, Family
from detection.corpus.attack_planting import Planted, plant
from detection.corpus.attack_style import lower, roughen
from detection.corpus.benign_office import generate as office_pages
from detection.corpus.example import Example

SOURCE = "attack_unmarked"
ORIGINS = {"document": 60, "tool": 40}
FOREIGN = 0.1  # share of tasks in another language than their data
QUIZ = 0.05  # share of tasks that are questions: most questions in documents are harmless
RELATED = 0.45  # share of borrowed pages whose twin is a record of data; the others take an insertion twin
BORROWED = 0.24  # share of pages by other generators
ROUGH = 0.08
LOW = 0.07  # share of texts all in lower case, the data too
LONGEST = 600  # code points of a borrowed page: the data of a task is short
PART = " ;; "  # parts a frame: before, the order that belongs, after; or the data and its answer
ACTS = ("order.send", "order.tun", "order.faire", "order.hacer", "order.fare")  # would pass as a to-do or a step
_MARK = "\u2603\u2603"  # holds the place of the passage until the data is wrapped
_BOUNDARY = re.compile(r"(?<=[.!?;,])[ \t]+(?=\S)|\n+")
_GLUES = (" ", " ", " ", "\n", "\n", "\n\n")
_FIELDS = ("text", "content", "body", "snippet", "result", "description", "comment", "input", "note", "message")
_LABELS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "en": (("Answer:", "Response:", "Output:", "### Response:", "Result:"), ("Instruction:", "Task:", "Next:", "### Instruction:"), ("Input:", "Text:", "Task:", "### Input:")),
    "de": (("Antwort:", "Ausgabe:", "Ergebnis:", "### Antwort:"), ("Aufgabe:", "Anweisung:", "Weiter:", "### Aufgabe:"), ("Eingabe:", "Text:", "Aufgabe:")),
    "fr": (("Réponse :", "Résultat :"), ("Consigne :", "Tâche :", "Suite :"), ("Texte :", "Exercice :")),
    "es": (("Respuesta:", "Resultado:"), ("Tarea:", "Instrucción:", "Siguiente:"), ("Texto:", "Ejercicio:")),
    "it": (("Risposta:", "Risultato:"), ("Compito:", "Istruzione:", "Poi:"), ("Testo:", "Esercizio:")),
}  # fmt: skip


class Frame(msgspec.Struct, frozen=True):
    """Data with a gap: the same gap takes a task or, in the twin, the harmless passage."""

    before: str
    harmless: str
    after: str
    lang: str
    kind: str
    template: str  # of the harmless passage
    lead: str = ""  # stands between the data and the task: a faked answer, a label
    harmless_lead: str = ""


class Decks(msgspec.Struct, frozen=True):
    """The banks: tasks without errands, with errands, orders alone, questions; data by shape; borrowed pages by language."""

    tasks: Deck
    acts: Deck
    orders: Deck
    quizzes: Deck
    data: Deck
    genre: Deck
    done: Deck
    asides: Deck
    pages: dict[str, list[str]]


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield count attacks, each followed by its benign twin: same data, same place, no task."""
    decks = _open(rng, count)
    attacks: set[str] = set()
    twins: set[str] = set()
    for _ in range(count):
        for attempt in range(TRIES * TRIES):
            attack, twin = _pair(decks, rng)
            if attack.text not in attacks and (twin.text not in twins or attempt >= TRIES):
                break
        attacks.add(attack.text)
        twins.add(twin.text)
        yield attack
        yield twin


def _open(rng: random.Random, count: int) -> Decks:
    tasks = open_deck("attack_slots", SOURCE)
    return Decks(
        tasks=_only(tasks, lambda family: family.kind != "quiz" and family.id not in ACTS),
        acts=_only(tasks, lambda family: family.kind != "quiz"),
        orders=_only(tasks, lambda family: family.kind == "order" and family.id not in ACTS),
        quizzes=_only(tasks, lambda family: family.kind == "quiz"),
        data=open_deck("attack_slots", SOURCE, f"{SOURCE}_data"),
        genre=open_deck("attack_slots", SOURCE, f"{SOURCE}_genre"),
        done=open_deck("attack_slots", SOURCE, f"{SOURCE}_done"),
        asides=open_deck("attack_slots", "insertion_twins"),
        pages=_pages(rng, count),
    )


def _only(deck: Deck, wanted: Callable[[Family], bool]) -> Deck:
    return Deck(
        {lang: Bank(tuple(filter(wanted, bank.families)), bank.slots) for lang, bank in deck.banks.items()},
    )


def _pages(rng: random.Random, count: int) -> dict[str, list[str]]:
    amount = max(count, 200)
    found: dict[str, list[str]] = {lang: [] for lang in LANGUAGES}
    for page in office_pages(rng, amount):
        found[page.lang].append(page.text)
    for origin in ORIGINS:
        for carrier in carriers(rng, amount // 4, origin):
            found[carrier.lang].append(carrier.text)
    return {lang: [text for text in texts if len(text) <= LONGEST] for lang, texts in found.items()}


def _pair(decks: Decks, rng: random.Random) -> tuple[Example, Example]:
    lang = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    origin = rng.choices(list(ORIGINS), list(ORIGINS.values()))[0]
    seed = rng.random()  # one seed: the same place and the same wrapping, whatever is planted
    if rng.random() < BORROWED and decks.pages[lang]:
        return _on_page(decks, lang, origin, seed, rng)
    frame = rng.choices((_done, _genre, _plain), (40, 38, 22))[0](decks, lang, rng)
    task = _task(decks, frame, rng)
    passage = finished(decks.tasks, task, rng, ROUGH)
    if rng.random() < 0.12:
        passage = lower(passage, rng)
    harmless = roughen(frame.harmless, rng, ROUGH)
    if rng.random() < 0.12:
        harmless = lower(harmless, rng)
    return (
        _written(frame, passage, origin, random.Random(seed), task),
        _written(frame, harmless, origin, random.Random(seed)),
    )


def _task(decks: Decks, frame: Frame, rng: random.Random) -> Draw:
    """A task that does not fit the data: no exercise among exercises, no errand among people's errands."""
    if frame.kind == "sheet":
        deck = decks.orders
    elif rng.random() < QUIZ:
        deck = decks.quizzes
    else:
        deck = decks.acts if frame.kind in ("plain", "answered") else decks.tasks
    lang = frame.lang
    if rng.random() < FOREIGN:
        lang = rng.choice([other for other in deck.languages if other != lang])
    return deck.draw(rng, lang)


def _opened(label: str) -> str:
    """The label with the space that follows it; nothing where there is none."""
    return label and label + ("\n" if label.startswith("#") else " ")


def _plain(decks: Decks, lang: str, rng: random.Random) -> Frame:
    """A record of data, sometimes several, with a gap in front, inside or behind."""
    drawn = decks.data.draw(rng, lang)
    bank = decks.data.banks[lang]
    glue = rng.choice((" ", "\n", "\n", "; "))

    def more() -> str:
        return tidy(decks.data.redraw(bank, rng.choice(drawn.family.frames), rng))

    text = tidy(drawn.text)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        text += glue + more()
    if rng.random() < 0.35:
        other = decks.data.draw(rng, lang)
        harmless, template = tidy(other.text), other.template
    else:
        harmless, template = more(), drawn.template
    cuts = [found.start() for found in _BOUNDARY.finditer(text)]
    cut = rng.choices((0, rng.choice(cuts) if cuts else len(text), len(text)), (15, 15, 70))[0]
    before, after = text[:cut], text[cut:].lstrip()
    return Frame(before, harmless, after, lang, "plain", f"twin.{template}")


def _genre(decks: Decks, lang: str, rng: random.Random) -> Frame:
    """A document whose own order to its human reader stands where the attack will."""
    drawn = decks.genre.draw(rng, lang)
    before, harmless, after = [*drawn.text.split(PART), ""][:3]
    return Frame(before, tidy(harmless), tidy(after), lang, drawn.family.kind, f"twin.genre.{drawn.template}")


def _done(decks: Decks, lang: str, rng: random.Random) -> Frame:
    """Data with its answer, as if the work were over; the twin stops there or goes on with further data."""
    drawn = decks.done.draw(rng, lang)
    data, answer = map(tidy, drawn.text.split(PART))
    answers, tasks, inputs = _LABELS[lang]
    labelled = rng.random() < 0.3
    label = rng.choice(tasks) if rng.random() < (0.5 if labelled else 0.05) else ""
    told = _opened(rng.choice(answers)) + answer if labelled else answer
    asked = _opened(rng.choice(inputs)) + data if labelled and rng.random() < 0.4 else data
    template = f"twin.done.{drawn.template}"
    following = rng.random()
    if following < 0.35:
        # The twin's gap takes the answer itself; the attack fakes it in front of the task.
        return Frame(f"{asked}\n\n", told, "", lang, "answered", template, f"{told}\n\n{_opened(label)}")
    if following < 0.75 and drawn.family.kind != "ask":
        again = decks.done.redraw(decks.done.banks[lang], rng.choice(drawn.family.frames), rng)
        second, reply = map(tidy, again.split(PART))
        more = f"{second}\n\n{reply}" if rng.random() < 0.5 else second
    else:
        more = tidy(decks.data.draw(rng, lang).text)
    lead = _opened(rng.choice(inputs)) if label else ""
    return Frame(f"{asked}\n\n{told}\n\n", more, "", lang, "answered", template, _opened(label), lead)


def _on_page(decks: Decks, lang: str, origin: str, seed: float, rng: random.Random) -> tuple[Example, Example]:
    page = rng.choice(decks.pages[lang])
    hollow = Frame(page, "", "", lang, "page", "")
    task = _task(decks, hollow, rng)
    aside = (decks.data if rng.random() < RELATED else decks.asides).draw(rng, lang)
    passage = finished(decks.tasks, task, rng, ROUGH)
    one = _undressed(plant(page, passage, random.Random(seed)), passage)
    two = plant(page, finished(decks.asides, aside, rng, ROUGH), random.Random(seed))
    attack = _example(hollow, one.text, origin, task)
    twin = _example(msgspec.structs.replace(hollow, template=f"twin.page.{aside.template}"), two.text, origin)
    return msgspec.structs.replace(attack, start=one.start, end=one.end), twin


def _undressed(planted: Planted, passage: str) -> Planted:
    """The planted passage marked without the small marks it was dressed in."""
    shown = planted.text[planted.start : planted.end]
    for form in (passage, json.dumps(passage, ensure_ascii=False)[1:-1], repr(passage)[1:-1]):
        at = shown.find(form)
        if at >= 0:
            return Planted(planted.text, planted.start + at, planted.start + at + len(form))
    return planted


def _written(frame: Frame, passage: str, origin: str, rng: random.Random, task: Draw | None = None) -> Example:
    """The frame with the passage in its gap, wrapped as a tool would answer where the origin is one."""
    glue = rng.choice(_GLUES)
    before = frame.before + ("" if frame.before.endswith("\n") or not frame.before else glue)
    marked = (
        before + (frame.lead if task else frame.harmless_lead) + _MARK + (glue if frame.after else "") + frame.after
    )
    if rng.random() < LOW:
        marked, passage = marked.lower(), passage.lower()
    if origin == "tool":
        marked, escaped = _wrapped(marked, rng)
        passage = json.dumps(passage, ensure_ascii=False)[1:-1] if escaped else passage
    start = marked.index(_MARK)
    made = _example(frame, marked.replace(_MARK, passage), origin, task)
    return msgspec.structs.replace(made, start=start, end=start + len(passage)) if task else made


def _wrapped(marked: str, rng: random.Random) -> tuple[str, bool]:
    """The text as a tool's answer and whether it was escaped for JSON."""
    place = f"https://example.{rng.choice(('com', 'org', 'net'))}/{rng.choice(('a', 'item', 'news', 'p'))}/{rng.randint(1, 999)}"
    match rng.randrange(6):
        case 0 | 1 | 2:
            record: list[tuple[str, object]] = [("id", rng.randint(1, 9999)), ("url", place), ("status", "ok"), ("lang", "auto")]  # fmt: skip
            chosen = rng.sample(record, rng.randint(0, 3))
            chosen.insert(rng.randint(0, len(chosen)), (rng.choice(_FIELDS), marked))
            value: object = dict(chosen)
            value = {"results": [value]} if rng.random() < 0.25 else value
            return json.dumps(value, ensure_ascii=False, indent=rng.choice((None, None, 2))), True
        case 3:
            return f"{rng.choice(_FIELDS)}: {marked}", False
        case 4:
            return f"{place}\n{marked}", False
        case _:
            return marked, False


def _example(frame: Frame, text: str, origin: str, task: Draw | None = None) -> Example:
    return Example(
        text=text,
        label="injection" if task else "benign",
        origin=origin,
        kind=task.family.kind if task else "twin",
        lang=frame.lang,
        source=SOURCE,
        template=f"{SOURCE}/{task.template if task else frame.template}",
    )
