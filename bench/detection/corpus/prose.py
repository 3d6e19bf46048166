"""Reads prose that people wrote, from packages of Debian: handbooks, essays, stories, quotations, in five languages.

`apt-get install debian-handbook freeciv-data anarchism gnome-user-docs fortunes fortunes-de fortunes-es fortunes-it
wesnoth-1.16-data` and the campaigns of that game (`wesnoth-1.16-httt` and its like) bring it, or it lies below the folder
SIGMAGUARD_PROSE instead of `/`. Licences: GPL-2+ or CC BY-SA 3.0 (handbook), GPL-2+ (both games), GPL-2+ or GFDL (essays),
CC BY-SA 3.0 (desktop guide), public domain and quotations (fortunes). What is missing is left out; nothing of it is stored
in the repository.
"""

from __future__ import annotations

import html
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

LANGUAGES = ("en", "de", "fr", "es", "it")
SHORTEST = 60  # code points of a paragraph; headings and captions are shorter

_SHARE = "usr/share"
_HANDBOOK = {"en-US": "en", "de-DE": "de", "fr-FR": "fr", "es-ES": "es", "it-IT": "it"}
_PARAGRAPH = re.compile(r'<div class="para">(.*?)</div>', re.S)
_PLAIN_PARAGRAPH = re.compile(r"<(?:p|blockquote)\b[^>]*>(.*?)</(?:p|blockquote)>", re.S)
_TAG = re.compile(r"<[^>]+>")
_MARKUP = re.compile(r"</?[\w:]+[^>]*>|\\\w+")


class Paragraph(msgspec.Struct, frozen=True):
    """A paragraph, and the chapter that keeps its neighbours on one side of the split."""

    chapter: str
    text: str


Shelf = Mapping[str, Sequence[Paragraph]]  # by kind of prose


def shelves() -> dict[str, Shelf]:
    """What is installed, by language and kind; a text that is not translated stays English."""
    share = Path(os.environ.get("SIGMAGUARD_PROSE", "/")) / _SHARE
    found: dict[str, dict[str, list[Paragraph]]] = {}
    english: set[str] = set()
    for kind, read in _KINDS.items():
        for lang, chapter, text in read(share):
            if len(text) < SHORTEST or text in english:
                continue
            if lang == "en":
                english.add(text)
            found.setdefault(lang, {}).setdefault(kind, []).append(Paragraph(chapter, text))
    return {lang: found[lang] for lang in LANGUAGES if lang in found}


def _handbook(share: Path) -> Iterator[tuple[str, str, str]]:
    for name, lang in _HANDBOOK.items():
        for path in sorted((share / "doc/debian-handbook/html" / name).glob("*.html")):
            for match in _PARAGRAPH.finditer(path.read_text(encoding="utf-8")):
                yield lang, path.stem, _plain(match.group(1))


def _essays(share: Path) -> Iterator[tuple[str, str, str]]:
    """English essays on power, work and law, which say "obey" and "authority" without ordering anything."""
    for path in sorted((share / "doc/anarchism/html").glob("*.html")):
        for match in _PLAIN_PARAGRAPH.finditer(path.read_text(encoding="utf-8", errors="replace")):
            yield "en", f"essay/{path.stem}", _plain(match.group(1))


def _guide(share: Path) -> Iterator[tuple[str, str, str]]:
    """How to do things on a desktop: steps and warnings that address the reader."""
    for lang in LANGUAGES:
        for path in sorted((share / "help" / ("C" if lang == "en" else lang) / "gnome-help").glob("*.page")):
            for match in re.finditer(r"<p>(.*?)</p>", path.read_text(encoding="utf-8"), re.S):
                yield lang, f"guide/{path.stem}", _plain(match.group(1))


def _stories(share: Path) -> Iterator[tuple[str, str, str]]:
    """What the figures of a game's campaigns say and what befalls them, each campaign a chapter."""
    yield from _translated(share / "games/wesnoth/1.16/locale", "wesnoth-*.mo", lambda name, _: f"story/{name}")


def _encyclopedia(share: Path) -> Iterator[tuple[str, str, str]]:
    yield from _translated(share / "locale", "freeciv-*.mo", lambda _, text: f"encyclopedia{len(text) % 97}")


def _quotations(share: Path) -> Iterator[tuple[str, str, str]]:
    """Jokes, proverbs, quotations: files of texts parted by a line with a percent sign."""
    folder = share / "games/fortunes"
    for lang in LANGUAGES:
        for path in sorted((folder if lang == "en" else folder / lang).glob("*")):
            if path.suffix in {"", ".fortunes"} and path.is_file():
                for place, text in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n%\n")):
                    yield lang, f"quotation/{path.stem}{place % 11}", text.strip()


_KINDS: dict[str, Callable[[Path], Iterator[tuple[str, str, str]]]] = {
    "handbook": _handbook,
    "essay": _essays,
    "guide": _guide,
    "story": _stories,
    "encyclopedia": _encyclopedia,
    "quotation": _quotations,
}


def _plain(marked: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", marked)).split())


def _translated(folder: Path, pattern: str, chapter: Callable[[str, str], str]) -> Iterator[tuple[str, str, str]]:
    """Originals, in English, and translations of compiled message catalogues; `chapter(file, original)`."""
    for lang in LANGUAGES[1:]:
        for path in sorted((folder / lang / "LC_MESSAGES").glob(pattern)):
            for original, translated in catalogue(path.read_bytes()):
                name = chapter(path.stem, original)
                yield "en", name, original  # once for each language; `shelves` keeps one
                yield lang, name, translated


def catalogue(data: bytes) -> Iterator[tuple[str, str]]:
    """Pairs of long texts in a GNU `.mo` file (GNU gettext manual, "The Format of GNU MO Files")."""
    count, originals, translations = struct.unpack_from("<3I", data, 8)
    for index in range(1, count):
        pair = []
        for table in (originals, translations):
            length, start = struct.unpack_from("<2I", data, table + 8 * index)
            text = data[start : start + length].decode("utf-8").rpartition("\x04")[2]  # what precedes it is its context
            pair.append(" ".join(_MARKUP.sub("", text).split()))
        if min(map(len, pair)) > 90 and not any("%" in text or "\0" in text or "$" in text for text in pair):
            yield pair[0], pair[1]
