"""What people wrote is taken where a package holds it, split by chapter and chat, and left out where none does."""

import random
from pathlib import Path

import pytest
from detection.corpus import natural

UNTRANSLATED = "Backups matter, and the second disk is where they go on every Friday evening, in any weather."
PAGES = {
    "en-US": ("The administrator should not ignore the warnings that the system prints at the start.", UNTRANSLATED),
    "de-DE": ("Die Verwalterin sollte die Warnungen nicht ignorieren, die beim Start erscheinen.", UNTRANSLATED),
}


@pytest.fixture
def handbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, paragraphs in PAGES.items():
        folder = tmp_path / "usr/share/doc/debian-handbook/html" / name
        folder.mkdir(parents=True)
        body = "".join(f'<div class="para">\n  <em>{text}</em>\n</div>' for text in paragraphs)
        (folder / "apt.html").write_text(f"<html><body>{body}</body></html>")
    monkeypatch.setenv("SIGMAGUARD_PROSE", str(tmp_path))
    monkeypatch.setattr(natural, "_folder", lambda _: None)
    return tmp_path


def test_reads_paragraphs_and_takes_untranslated_ones_once(handbook: Path) -> None:
    found = list(natural.generate(random.Random(1), 200))

    assert len(found) == 800
    assert {example.lang for example in found} == {"en", "de"}
    assert all(UNTRANSLATED not in example.text for example in found if example.lang == "de")
    assert {example.template for example in found} == {"natural/apt"}
    assert {example.origin for example in found} == {"user", "document", "tool"}
    assert {example.label for example in found} == {"benign"}


def test_the_same_seed_gives_the_same_texts(handbook: Path) -> None:
    assert list(natural.generate(random.Random(4), 50)) == list(natural.generate(random.Random(4), 50))


def test_nothing_installed_yields_nothing(handbook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGMAGUARD_PROSE", str(handbook / "missing"))

    assert list(natural.generate(random.Random(1), 10)) == []
