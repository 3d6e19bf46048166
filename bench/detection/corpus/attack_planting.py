"""Puts a foreign passage where a document's form allows it; refuses to know whether the passage is an attack."""

import ast
import json
import random
import re

import msgspec

_BOUNDARY = re.compile(r"(?<=[.!?])[ \t]+(?=\S)|\n+")
_CODE = re.compile(
    r"^\s*(def |class |import |from \w+ import|function |const |let |public |#include|package |func )", re.M
)
_HASH = re.compile(r"^\s*(def |import |from \w+ import|elif |#)", re.M)
_MARK = (
    "\u2603\u2603"  # holds the place of the passage until the escaping of the form is done; printable: repr() keeps it
)


class Planted(msgspec.Struct, frozen=True):
    """A document with a passage in it; start and end mark the passage in code points, half-open."""

    text: str
    start: int
    end: int


def plant(text: str, passage: str, rng: random.Random) -> Planted:
    """Return the document with the passage at its start, at a boundary inside, or at its end."""
    form = form_of(text)
    makers = {
        "json": _into_json,
        "html": _into_html,
        "table": _into_table,
        "code": _into_code,
        "text": _into_text,
    }
    marked, shown = makers[form](text, passage, rng)
    start = marked.index(_MARK)
    return Planted(marked.replace(_MARK, shown), start, start + len(shown))


def form_of(text: str) -> str:
    """Guess `json`, `html`, `table`, `code` or `text`."""
    head = text.lstrip()[:1]
    if head in ("{", "[") and _parse(text) is not None:
        return "json"
    if head == "<" and re.search(r"</\w+>", text):
        return "html"
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 2 and sum(line.count("|") > 1 or line.count(",") > 2 or ";" in line for line in lines) > 0.7 * len(
        lines
    ):
        return "code" if _CODE.search(text) else "table"
    return "code" if _CODE.search(text) else "text"


def _parse(text: str) -> object | None:
    """The value of a JSON text or of a Python literal, which many tools print; None where it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            value: object = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return value if isinstance(value, dict | list) else None
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _spot(text: str, cuts: list[int], rng: random.Random) -> int:
    """A place to cut: the start, a boundary, or the end (the most usual)."""
    match rng.choices(("start", "middle", "end"), (2, 4, 4))[0]:
        case "start":
            return 0
        case "middle" if cuts:
            return rng.choice(cuts)
        case _:
            return len(text)


def _into_text(text: str, passage: str, rng: random.Random) -> tuple[str, str]:
    cut = _spot(text, [found.end() for found in _BOUNDARY.finditer(text)], rng)
    glue = rng.choice((" ", " ", "\n", "\n\n", "\n\n"))
    before, after = text[:cut].rstrip(), text[cut:].lstrip("\n")
    marked = (before + glue if before else "") + _MARK + (glue + after if after else "")
    return marked, _dress(passage, rng)


def _dress(passage: str, rng: random.Random) -> str:
    """The passage bare (mostly) or in the small marks of plain text."""
    if rng.random() < 0.7:
        return passage
    dress = rng.choice(
        ("({})", "[{}]", "P.S. {}", "PS: {}", "> {}", "** {} **", "- {}", "* {}", '"{}"', "--\n{}", "[1] {}", "<!-- {} -->",
         "# {}", "Note: {}", "N.B. {}", "...{}", "---\n{}\n---", "\u200b{}\u200b", "_{}_", "`{}`", "{}\n\n--\nSent from my phone")
    )  # fmt: skip
    return dress.replace("{}", passage)


def _into_json(text: str, passage: str, rng: random.Random) -> tuple[str, str]:
    value = _parse(text)
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    _collect(value, places)
    if places and rng.random() < 0.8:
        holder, key = rng.choice(places)
        old = str(holder[key])  # type: ignore[index]
        new = rng.choice((_MARK, f"{old} {_MARK}", f"{old} {_MARK}", f"{old}\n\n{_MARK}", f"{_MARK} {old}"))
        holder[key] = new  # type: ignore[index]
    else:
        key = rng.choice(
            (
                "note",
                "comment",
                "description",
                "message",
                "footer",
                "hint",
                "remarks",
                "summary",
                "info",
                "subject",
            )
        )
        members = value if isinstance(value, list) else [value]
        target = next((member for member in members if isinstance(member, dict)), None)
        if target is None:
            members.append(_MARK)
        else:
            target[key] = _MARK
    if not _is_json(text):
        return repr(value).replace("\\ue000", _MARK), repr(passage)[1:-1]
    indent = 2 if "\n" in text.strip() else None
    marked = json.dumps(value, ensure_ascii=False, indent=indent)
    return marked, json.dumps(passage, ensure_ascii=False)[1:-1]


def _collect(value: object, places: list[tuple[dict[str, object] | list[object], str | int]]) -> None:
    """Gather the places of strings that people write: not ids, dates or codes."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in pairs:
        if isinstance(inner, str) and (" " in inner or not any(char.isdigit() or char in "@/_" for char in inner)):
            places.append((value, key))  # type: ignore[arg-type]
        else:
            _collect(inner, places)


def _into_html(text: str, passage: str, rng: random.Random) -> tuple[str, str]:
    cuts = [found.end() for found in re.finditer(r"</(?:p|li|tr|h\d|div|ul|table|a|td|span)>", text)]
    cut = rng.choice(cuts) if cuts and rng.random() < 0.85 else len(text)
    dress = rng.choice(
        ("<p>{}</p>", "<p>{}</p>", "<!-- {} -->", "<!--{}-->", '<div style="display:none">{}</div>', "<li>{}</li>", "<small>{}</small>",
         '<span style="font-size:0">{}</span>', '<img src="spacer.gif" alt="{}">', '<p style="color:white">{}</p>', "<footer>{}</footer>",
         '<a href="#" title="{}">more</a>', "<blockquote>{}</blockquote>", '<div class="comment">{}</div>', '<input type="hidden" value="{}">',
         '<p aria-hidden="true">{}</p>', "<td>{}</td>", "<h3>{}</h3>", " {} ", "<noscript>{}</noscript>")
    )  # fmt: skip
    return text[:cut] + rng.choice(("", "\n")) + _MARK + text[cut:], dress.replace("{}", passage)


def _into_table(text: str, passage: str, rng: random.Random) -> tuple[str, str]:
    lines = text.split("\n")
    full = [index for index, line in enumerate(lines) if line.strip()]
    flat = " ".join(passage.split("\n"))
    row = rng.choice(full[1:])
    mark = "|" if lines[row].count("|") > 1 else ";" if ";" in lines[row] else ","
    if rng.random() < 0.3:
        return text.rstrip() + rng.choice(("\n", "\n\n")) + _MARK, passage
    cells = lines[row].split(mark)
    if rng.random() < 0.35:
        blank = [" " if cell.strip() == "" else " - " for cell in cells]
        spot = rng.randrange(len(blank))
        blank[spot] = f" {_MARK} "
        lines.insert(row + 1, mark.join(blank) if rng.random() < 0.5 else _MARK)
    else:
        spot = rng.choice([index for index, cell in enumerate(cells) if cell.strip()] or [0])
        cells[spot] = rng.choice((f" {_MARK} ", f"{cells[spot].rstrip()} {_MARK} "))
        lines[row] = mark.join(cells)
    return "\n".join(lines), flat if mark == "|" or rng.random() < 0.5 else f'"{flat}"'


def _into_code(text: str, passage: str, rng: random.Random) -> tuple[str, str]:
    lines = text.split("\n")
    at = rng.randrange(len(lines) + 1)
    near = lines[min(at, len(lines) - 1)]
    indent = near[: len(near) - len(near.lstrip())]
    marks = ("# {}", "# {}", "# TODO: {}", "# NOTE: {}", '"""{}"""', 'HINT = "{}"') if _HASH.search(text) else (
        "// {}", "// {}", "/* {} */", "// TODO: {}", "/** {} */", 'const hint = "{}";')  # fmt: skip
    flat = " ".join(passage.split("\n"))
    lines.insert(at, indent + _MARK)
    return "\n".join(lines), rng.choice(marks).replace("{}", flat)
