"""What a server's tool definitions mean for trust: new, known, changed, or taking another server's place.

Knows names and pins; the texts themselves are the detectors' to judge.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sigmaguard.actions.compiled import CHANGED, CROSS_REFERENCE, SHADOWED, Tools
from sigmaguard.fold import readings
from sigmaguard.injection.fold import fold
from sigmaguard_proxy.mcp.pins import PinBook, definition_digest

# what looks alike in most fonts once case and separators are gone
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l", "5": "s", "3": "e", "8": "b"})
_WORD = re.compile(r"[A-Za-z][\w-]{5,63}")
_COMPOUND = re.compile(r"[_\-]|[a-z][A-Z]")  # a name no sentence uses by chance


def skeleton(name: str) -> str:
    """A name as the eye sees it: two names with the same skeleton are easily mistaken for each other."""
    plain = re.sub(r"[\W_]+", "", fold(name).text).casefold().translate(_ALIKE)
    return plain.replace("rn", "m").replace("vv", "w")


class Neighbours:
    """The tools of all other servers, laid out for looking up; made once for a whole list."""

    def __init__(self, names: Iterable[str], own: frozenset[str]) -> None:
        self.names = set(names)
        self.skeletons: dict[str, set[str]] = {}
        for name in self.names:
            self.skeletons.setdefault(skeleton(name), set()).add(name)
        self.telling = {name for name in self.names - own if _COMPOUND.search(name) and len(name) >= 6}


class Definitions:
    """Judges the definitions of one server against the book of all."""

    def __init__(self, server: str, book: PinBook) -> None:
        self.server = server
        self.book = book

    def neighbours(self, own: frozenset[str]) -> Neighbours:
        """What other servers offer; `own` are the names this one does."""
        return Neighbours((tool for _, tool in self.book.others(self.server)), own)

    def judge(self, tool: Mapping[str, Any], tools: Tools, neighbours: Neighbours) -> tuple[str, list[str]]:
        """The digest of a definition and the rules it breaks; one that a person approved breaks none."""
        name = str(tool.get("name", ""))
        digest = definition_digest(tool)
        pin = self.book.get(self.server, name)
        if digest == pin.digest or digest in pin.approved:
            return digest, []
        rules = [CHANGED] if pin.digest else []
        if _shadows(name, neighbours, tools):
            rules.append(SHADOWED)
        if _refers(tool, neighbours.telling):
            rules.append(CROSS_REFERENCE)
        return digest, rules

    def is_approved(self, tool: Mapping[str, Any]) -> bool:
        """Whether a person has approved exactly this definition."""
        pin = self.book.get(self.server, str(tool.get("name", "")))
        return definition_digest(tool) in pin.approved

    def is_held(self, name: str) -> bool:
        """Whether a tool is out of use until a person has looked at its definition.

        That holds for the definition pinned before, too: the server now does something else under this name.
        """
        pin = self.book.get(self.server, name)
        return pin.held is not None and pin.held.digest != pin.digest


def _shadows(name: str, neighbours: Neighbours, tools: Tools) -> bool:
    alike = neighbours.skeletons.get(skeleton(name), set())
    # a common name such as `search` may be offered twice; one that a policy calls sensitive may not
    return bool(alike - {name}) or (name in alike and tools.sensitive.has_name(name))


def _refers(tool: Mapping[str, Any], telling: set[str]) -> bool:
    if not telling:
        return False
    texts = _strings({key: value for key, value in tool.items() if key not in ("name", "_meta")})
    return any(word in telling for text in texts for one in readings(text) for word in _WORD.findall(one.text))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return []
