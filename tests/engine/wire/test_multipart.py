"""Multipart forms: text fields found and edited in place, files untouched, what cannot be read refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import WireError
from sigmaguard.wire.codec import Edit
from sigmaguard.wire.multipart import Form

TYPE = 'multipart/form-data; boundary="b0und"'


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of these header blocks and bodies."""
    return (
        b"".join(b"--b0und\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts)
        + b"--b0und--\r\n"
    )


def field(name: str, value: str) -> tuple[str, bytes]:
    """A text field."""
    return f'Content-Disposition: form-data; name="{name}"', value.encode()


FILE = ('Content-Disposition: form-data; name="file"; filename="a b.wav"\r\nContent-Type: audio/wav', bytes(range(256)))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20), max_size=4))
def test_fields_come_back_as_they_were(values: list[str]) -> None:
    raw = form(*(field(f"f{at}", value) for at, value in enumerate(values)), FILE)
    parsed = Form(TYPE, raw)
    assert [part.text for part in parsed.parts[:-1]] == values
    assert parsed.parts[-1].filename == "a b.wav"
    assert raw[parsed.parts[-1].start : parsed.parts[-1].end] == bytes(range(256))
    assert parsed.encode([]) == raw


def test_a_field_is_edited_in_place() -> None:
    raw = form(field("prompt", "the swordfish"), FILE, field("prompt", "second"))
    parsed = Form("multipart/form-data; boundary=b0und", raw)
    assert [part.path for part in parsed.parts] == ["/prompt", "/file", "/prompt/2"]
    assert parsed.encode([Edit("/prompt", 4, 13, "[X]")]) == raw.replace(b"swordfish", b"[X]")
    with pytest.raises(WireError):
        parsed.encode([Edit("/file~filename", 0, 1, "x")])


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        ("multipart/form-data", form(field("a", "b"))),
        (TYPE, b"no boundary here"),
        (TYPE, b"text before--b0und\r\n" + form(field("a", "b"))),
        (TYPE, form(field("a", "b"))[:-12]),
        (TYPE, form(('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', b"aWdub3Jl"))),
        (TYPE, form(('Content-Disposition: form-data; name="a"', b"\xff\xfe"))),
        (TYPE, form(*(field("a", "b") for _ in range(1_001)))),
    ],
)
def test_what_cannot_be_read_is_refused(content_type: str, raw: bytes) -> None:
    with pytest.raises(WireError):
        Form(content_type, raw)
