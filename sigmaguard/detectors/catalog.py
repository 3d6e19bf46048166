"""Which detectors there are and how each is built. The one place that names them all."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from sigmaguard.detector import Detector
from sigmaguard.errors import ConfigError
from sigmaguard.model import Origin
from sigmaguard.policy.pack import Rule

Build = Callable[[dict[str, object], Sequence[Rule]], Detector]

_ALL = frozenset(Origin)
_UNTRUSTED = frozenset({Origin.USER, Origin.TOOL_RESULT, Origin.DOCUMENT, Origin.TOOL_DEFINITION})

# name -> module and the origins it looks at unless a pack says otherwise. A module is imported only
# when a pack enables its detector: a policy without names never pays for an NLP library.
DETECTORS: Mapping[str, tuple[str, frozenset[Origin]]] = {
    "phrases": ("sigmaguard.detectors.phrases", _UNTRUSTED),
    "injection": ("sigmaguard.injection.detector", _UNTRUSTED),
    "leaks": ("sigmaguard.detectors.leaks", _ALL),
    "dictionary": ("sigmaguard.detectors.dictionary", _ALL),
    "canary": ("sigmaguard.detectors.canary", _ALL),
    "echo": ("sigmaguard.detectors.echo", frozenset({Origin.ASSISTANT, Origin.TOOL_CALL})),
    "urls": ("sigmaguard.detectors.urls", _ALL),
    "unsafe_text": ("sigmaguard.detectors.unsafe_text", _ALL),
    "pii": ("sigmaguard.detectors.pii", _ALL),
    "names": ("sigmaguard.detectors.names", _ALL),
}


def build(name: str, options: dict[str, object], rules: Sequence[Rule], where: str) -> Detector:
    """Builds a detector by name. Raises ConfigError naming `where` in the pack is wrong."""
    known = DETECTORS.get(name)
    if known is None:
        raise ConfigError(f"{where}: no detector `{name}`; there are {', '.join(sorted(DETECTORS))}")
    make: Build = import_module(known[0]).build
    try:
        return make(options, rules)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def origins(name: str) -> frozenset[Origin]:
    """The origins a detector looks at by default."""
    return DETECTORS[name][1]


# Rule families of the detectors that name their rules themselves; the others' are in their rule files.
FAMILIES: Mapping[str, frozenset[str]] = {
    "phrases": frozenset({"injection", "jailbreak"}),
    "injection": frozenset({"injection", "jailbreak"}),
    "leaks": frozenset({"leak"}),
    "dictionary": frozenset({"dictionary"}),
    "canary": frozenset({"canary", "leak"}),
    "echo": frozenset({"echo"}),
    "urls": frozenset({"url"}),
    "pii": frozenset({"pii"}),
    "names": frozenset({"pii"}),
}


def families(name: str, rules: Sequence[Rule]) -> frozenset[str]:
    """The families of the rules a detector may find; empty where they are not known."""
    known = FAMILIES.get(name)
    return known | {rule.id.partition(".")[0] for rule in rules} if known else frozenset()
