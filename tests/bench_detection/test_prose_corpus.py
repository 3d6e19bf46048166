"""Prose is read where its packages put it, by language and chapter, and what is missing is left out."""

import struct
from pathlib import Path

import pytest
from detection.corpus.prose import SHORTEST, catalogue, shelves

LONG = "The council met at dawn, and nobody dared to speak before the oldest of them had put down her cup of tea."
LONG_DE = "Der Rat trat bei Tagesanbruch zusammen, und niemand sprach, ehe die Älteste ihre Tasse abgestellt hatte."
OTHER = "Obedience is not the same thing as agreement, wrote the author of this essay, and <i>authority</i> knows it."


def message_catalogue(pairs: list[tuple[str, str]]) -> bytes:
    """A GNU `.mo` file with the given originals and translations."""
    pairs = [("", "Content-Type: text/plain; charset=UTF-8\n"), *pairs]
    at = 28 + 16 * len(pairs)
    tables: list[bytes] = []
    texts = b""
    for side in (0, 1):
        for pair in pairs:
            encoded = pair[side].encode()
            tables.append(struct.pack("<2I", len(encoded), at + len(texts)))
            texts += encoded + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return head + b"".join(tables) + texts


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGMAGUARD_PROSE", str(tmp_path))
    return tmp_path / "usr/share"


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_nothing_installed_gives_no_shelf(share: Path) -> None:
    assert shelves() == {}


def test_a_translated_story_stands_in_both_languages(share: Path) -> None:
    folder = share / "games/wesnoth/1.16/locale/de/LC_MESSAGES"
    write(folder / "wesnoth-dawn.mo", message_catalogue([(f"scene\x04{LONG}", f"<i>{LONG_DE}</i>")]))

    found = shelves()

    assert [each.text for each in found["en"]["story"]] == [LONG]
    assert [each.text for each in found["de"]["story"]] == [LONG_DE]
    assert {each.chapter for shelf in found.values() for each in shelf["story"]} == {"story/wesnoth-dawn"}


def test_essays_guides_and_quotations_are_read_without_their_markup(share: Path) -> None:
    write(share / "doc/anarchism/html/secA1.html", f"<h2>Head</h2><p>{OTHER}</p><p>Short.</p>")
    write(share / "help/de/gnome-help/backup.page", f"<page><p>{LONG_DE}</p></page>")
    write(share / "games/fortunes/wisdom", f"{LONG}\n%\nToo short.\n%\n")
    write(share / "games/fortunes/wisdom.dat", b"\0\1")

    found = shelves()

    assert [each.text for each in found["en"]["essay"]] == [OTHER.replace("<i>", "").replace("</i>", "")]
    assert [each.text for each in found["de"]["guide"]] == [LONG_DE]
    assert [each.text for each in found["en"]["quotation"]] == [LONG]
    assert all(len(each.text) >= SHORTEST for shelf in found.values() for kind in shelf.values() for each in kind)


def test_messages_with_places_to_fill_are_left_out() -> None:
    filled = LONG + " It took %d hours."

    assert list(catalogue(message_catalogue([(LONG, LONG_DE), (filled, filled)]))) == [(LONG, LONG_DE)]
