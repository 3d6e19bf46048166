"""Takes what people wrote, from packages that are installed: chats, small talk, prose in five languages. All benign.

`chitchat-dataset` (MIT) and `chatterbot-corpus` (BSD) come with the `train` extra; `prose.py` says where prose comes
from. What is missing is left out; nothing of it is stored in the repository.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from detection.corpus.asking import asked
from detection.corpus.example import Example
from detection.corpus.prose import Shelf, shelves

SOURCE = "natural"
_TALK = {"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it"}
_SHARES = (("en", 45), ("de", 22), ("fr", 11), ("es", 11), ("it", 11))
_BARE = 0.1  # the share of pasted texts that nothing is asked about
_NAMES = (
    "Ana",
    "Ben",
    "Chris",
    "Dana",
    "Eli",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jo",
    "user42",
    "guest",
    "support",
    "A",
    "B",
)

Chat = list[tuple[str, str]]  # sender and text, in order


def generate(rng: random.Random, count: int) -> Iterator[Example]:
    """Yield four times `count` benign texts of every origin, the only ones nobody made up; none without the packages."""
    makers: list[tuple[int, Callable[[], Example]]] = []
    chats, talk, prose = _chats(), _talk(), shelves()
    if chats:
        makers += [(2, lambda: _message(chats, rng)), (2, lambda: _transcript(chats, rng))]
    if talk:
        makers.append((1, lambda: _small_talk(talk, rng)))
    if prose:
        makers.append((11, lambda: _passage(prose, rng)))
    if makers:
        weights, choices = [weight for weight, _ in makers], [maker for _, maker in makers]
        yield from (rng.choices(choices, weights)[0]() for _ in range(4 * count))


def _example(text: str, origin: str, kind: str, lang: str, family: str) -> Example:
    return Example(
        text=text, label="benign", origin=origin, kind=kind, lang=lang, source=SOURCE, template=f"{SOURCE}/{family}"
    )


def _message(chats: Sequence[Chat], rng: random.Random) -> Example:
    """What one person says at once, as a user would send it."""
    number = rng.randrange(len(chats))
    chat = chats[number]
    at = rng.randrange(len(chat))
    sender, parts = chat[at][0], [chat[at][1]]
    while len(parts) < 6 and at + len(parts) < len(chat) and chat[at + len(parts)][0] == sender:
        parts.append(chat[at + len(parts)][1])
    return _example(rng.choice((" ", "\n", ". ")).join(parts), "user", "chat", "en", f"chat{number % 997}")


def _transcript(chats: Sequence[Chat], rng: random.Random) -> Example:
    """Some turns of a chat as a document, a tool's answer or a paste."""
    number = rng.randrange(len(chats))
    chat = chats[number]
    at = rng.randrange(len(chat))
    turns = chat[at : at + rng.randint(2, 12)]
    names = dict(zip(dict.fromkeys(sender for sender, _ in turns), rng.sample(_NAMES, len(_NAMES)), strict=False))
    shape = rng.random()
    if shape < 0.3:
        keys = rng.choice((("author", "text"), ("from", "body"), ("user", "message"), ("sender", "content")))
        records = [{keys[0]: names[sender], keys[1]: text} for sender, text in turns]
        text = json.dumps(records, indent=rng.choice((None, 2)), ensure_ascii=False)
    else:
        frame = rng.choice(("{}: {}", "<{}> {}", "[{}] {}", "{} - {}"))
        text = "\n".join(frame.format(names[sender], said) for sender, said in turns)
    origin = rng.choices(("document", "tool", "user"), (2, 3, 1))[0]
    if origin == "user":
        text, _ = asked(text, "en", rng, _BARE)
    return _example(text, origin, "transcript", "en", f"chat{number % 997}")


def _small_talk(talk: Mapping[str, Sequence[str]], rng: random.Random) -> Example:
    lang = _lang(talk, rng)
    text = rng.choice(talk[lang])
    return _example(text, "user", "chat", lang, f"talk/{lang}/{' '.join(text.lower().split()[:2])}")


def _passage(prose: Mapping[str, Shelf], rng: random.Random) -> Example:
    """Some paragraphs of a chapter, half of the time pasted by a user who asks about them."""
    lang = _lang(prose, rng)
    kind = rng.choice(sorted(prose[lang]))
    shelf = prose[lang][kind]
    at = rng.randrange(len(shelf))
    chapter, text = shelf[at].chapter, shelf[at].text
    length = rng.choice((120, 250, 400, 700, 1100, 1800))
    for following in shelf[at + 1 : at + 12]:
        if following.chapter != chapter or len(text) > length:
            break
        text += rng.choice(("\n", "\n\n", " ")) + following.text
    origin = rng.choices(("document", "tool", "user"), (3, 2, 5))[0]
    if origin == "tool" and rng.random() < 0.4:
        text = json.dumps({"title": chapter, rng.choice(("text", "content", "snippet")): text}, ensure_ascii=False)
    if origin == "user":
        text, _ = asked(text, lang, rng, _BARE)
    return _example(text, origin, kind, lang, chapter)


def _lang(by_lang: Mapping[str, object], rng: random.Random) -> str:
    langs, weights = zip(*((lang, weight) for lang, weight in _SHARES if by_lang.get(lang)), strict=True)
    return str(rng.choices(langs, weights)[0])


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _chats() -> list[Chat]:
    """Every chat of `chitchat-dataset` with at least two turns."""
    folder = _folder("chitchat_dataset")
    if folder is None:
        return []
    found = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    chats = []
    for record in found.values():
        turns = [(part["sender"], part["text"]) for turn in record["messages"] for part in turn if part["text"].strip()]
        if len(turns) > 1:
            chats.append(turns)
    return chats


def _talk() -> dict[str, list[str]]:
    """Utterances of `chatterbot-corpus`, by language."""
    folder = _folder("chatterbot_corpus")
    found: dict[str, list[str]] = {}
    for name, lang in _TALK.items() if folder is not None else ():
        assert folder is not None
        for path in sorted((folder / "data" / name).glob("*.yml")):
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
            said = (text for dialog in loaded["conversations"] for text in dialog if isinstance(text, str))
            found.setdefault(lang, []).extend(text.strip() for text in said if len(text.strip()) > 2)
    return found
