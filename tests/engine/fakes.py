"""Small whole detectors and policies for tests: a keyword finder, one that raises, one that hangs."""

import threading
from collections.abc import Mapping, Sequence

from sigmaguard.detector import Cost, Passage
from sigmaguard.errors import DetectorError
from sigmaguard.model import Action, Direction, Finding, OnFault, Origin, Timing
from sigmaguard.policy.compile import compile_pack
from sigmaguard.policy.compiled import ActiveDetector, Plan, Policy
from sigmaguard.policy.pack import Limits, MaskConfig, Pack, RuleOverride, UnknownEndpoints

EVERYWHERE = frozenset(Origin)


class Words:
    """Finds words, in any reading and any case. `rules` maps a word to its rule id."""

    def __init__(self, rules: Mapping[str, str], name: str = "words", cost: Cost = Cost.INLINE) -> None:
        self.name = name
        self.version = "1:" + ",".join(sorted(rules))
        self.cost = cost
        self._rules = {word.lower(): rule for word, rule in rules.items()}
        self.looked = 0
        self.seen: list[str] = []

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Every occurrence; of one span only the first reading's."""
        self.looked += len(passages)
        self.seen += [passage.segment.text for passage in passages]
        return [self._find(passage) for passage in passages]

    def _find(self, passage: Passage) -> list[Finding]:
        found: dict[tuple[int, int, str], Finding] = {}
        for reading in passage.readings:
            text = reading.text.lower()
            for word, rule in self._rules.items():
                at = text.find(word)
                while at >= 0:
                    start, end = reading.source(at, at + len(word))
                    entity = rule.partition(".")[2].upper()
                    finding = Finding(rule, self.name, start, end, 1.0, entity=entity, view=reading.kind)
                    if not any(one.start < end and start < one.end for one in found.values()):
                        found[start, end, rule] = finding
                    at = text.find(word, at + len(word))
        return sorted(found.values(), key=lambda one: (one.start, one.end))

    def hold(self, text: str) -> int:
        """The earliest suffix that begins a word and is not yet one."""
        lowered = text.lower()
        longest = max(map(len, self._rules), default=0)
        for at in range(max(0, len(text) - longest + 1), len(text)):
            tail = lowered[at:]
            if any(word.startswith(tail) and word != tail for word in self._rules):
                return self._unbroken(lowered, at)
        return len(text)

    def _unbroken(self, lowered: str, at: int) -> int:
        """`at`, or where a word begins that goes over it."""
        starts = [
            start
            for word in self._rules
            for start in range(max(0, at - len(word) + 1), at)
            if lowered.startswith(word, start)
        ]
        return min(starts, default=at)


class WholeWords:
    """The same without `hold`: a stream can only ask it at the end."""

    def __init__(self, rules: Mapping[str, str], name: str = "whole", cost: Cost = Cost.INLINE) -> None:
        self._inner = Words(rules, name, cost)
        self.name, self.version, self.cost = name, self._inner.version, cost

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Every occurrence."""
        return self._inner.detect(passages)


class Raises:
    """Fails on every text."""

    def __init__(self, error: Exception | None = None, name: str = "raises", cost: Cost = Cost.INLINE) -> None:
        self.name, self.version, self.cost = name, "1", cost
        self._error = error or DetectorError("it fails")

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Raises."""
        raise self._error

    def hold(self, text: str) -> int:
        """Nothing."""
        return len(text)


class Waits:
    """Hangs until it is let go, then finds what `inner` finds. Runs in the pool."""

    cost = Cost.POOLED

    def __init__(self, inner: Words | None = None, name: str = "waits") -> None:
        self.name, self.version = name, "1"
        self._inner = inner or Words({}, name)
        self.began = threading.Event()
        self.go_on = threading.Event()

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Waits, 30 seconds at most."""
        self.began.set()
        self.go_on.wait(30)
        return self._inner.detect(passages)


def active(
    detector: object,
    action: Action | tuple[Action, Action] = Action.BLOCK,
    *,
    timing: Timing = Timing.BEFORE,
    origins: frozenset[Origin] = EVERYWHERE,
    on_fault: OnFault = OnFault.CLOSED,
) -> ActiveDetector:
    """A detector as a policy runs it."""
    actions = action if isinstance(action, tuple) else (action, action)
    return ActiveDetector(detector, actions, 0.0, timing, origins, on_fault, frozenset({"test"}))  # type: ignore[arg-type]


def policy_of(
    *actives: ActiveDetector,
    masks: Mapping[str, MaskConfig] | None = None,
    limits: Limits | None = None,
    budget_ms: float = 2_000.0,
    rules: Mapping[str, RuleOverride] | None = None,
    on_fault: OnFault = OnFault.CLOSED,
    unknown: UnknownEndpoints = "inspect",
    name: str = "test",
) -> Policy:
    """A compiled policy of these detectors."""
    pack = Pack(
        name=name,
        budget_ms=budget_ms,
        on_fault=on_fault,
        masks=dict(masks or {}),
        limits=limits or Limits(),
        unknown_endpoints=unknown,
    )
    base = compile_pack(pack, ())
    plans = {(direction, timing): _plan(direction, timing, actives) for direction in Direction for timing in Timing}
    values = {field: getattr(base, field) for field in Policy.__dataclass_fields__}
    over = rules or {}
    values |= {
        "plans": plans,
        "detectors": {one.detector.name: one for one in actives},
        "rule_actions": {
            rule: (given.action, given.action) for rule, given in over.items() if isinstance(given.action, Action)
        },
        "disabled": frozenset(rule for rule, given in over.items() if not given.enabled),
    }
    return Policy(**values)


def _plan(direction: Direction, timing: Timing, actives: Sequence[ActiveDetector]) -> Plan:
    chosen = tuple(
        one for one in actives if (one.timing is timing if direction is Direction.INPUT else timing is Timing.BEFORE)
    )
    origins = frozenset(origin for one in chosen for origin in one.origins)
    versions = ",".join(f"{one.detector.name}{one.detector.version}" for one in chosen)
    return Plan(f"{versions}/{direction.value}/{timing.value}", chosen, origins)


def blocks(*words: str, rule: str = "test.bad") -> ActiveDetector:
    """Blocks these words in both directions."""
    return active(Words(dict.fromkeys(words, rule)), Action.BLOCK)


def masks(*words: str, rule: str = "test.secret") -> ActiveDetector:
    """Masks these words in both directions."""
    return active(Words(dict.fromkeys(words, rule), "maskwords"), Action.MASK)
