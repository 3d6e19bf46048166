"""A policy's `tools:` section, compiled: calls to findings. Knows no wire format and keeps no history."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate

from sigmaguard.actions.call import ToolCall
from sigmaguard.actions.config import Consequence, ToolExample, ToolRate, ToolRule, ToolsConfig
from sigmaguard.actions.expression import EvaluationError, Expression
from sigmaguard.errors import ConfigError
from sigmaguard.model import Action, Finding, Subject

DETECTOR = "tools"
TAINTED = "tool.tainted"
SCHEMA = "tool.arguments_schema"
RATE = "tool.rate"
CHANGED = "tool.definition_changed"
SHADOWED = "tool.shadowed_name"
CROSS_REFERENCE = "tool.cross_reference"
HELD = "tool.definition_held"
GRANTED = "tool.approval_granted"
TAGS = ("OWASP:LLM06", "ATLAS:AML.T0053")  # excessive agency; LLM plugin compromise

_ACTIONS: Mapping[Consequence, Action] = {
    "allow": Action.ALLOW,
    "flag": Action.FLAG,
    "mask": Action.MASK,
    "approve": Action.BLOCK,
    "deny": Action.BLOCK,
}


class Names:
    """A set of name patterns (`*`, `?`, `[...]`), matched without regard to case."""

    __slots__ = ("_pattern",)

    def __init__(self, patterns: Sequence[str]) -> None:
        joined = "|".join(translate(one) for one in patterns)
        self._pattern = re.compile(joined, re.IGNORECASE) if patterns else None

    def has(self, call: ToolCall) -> bool:
        """Whether any of a call's names matches."""
        return self._pattern is not None and any(self._pattern.match(name) for name in call.names)

    def has_name(self, name: str) -> bool:
        """Whether a name matches."""
        return self._pattern is not None and self._pattern.match(name) is not None

    def __bool__(self) -> bool:
        return self._pattern is not None


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A compiled rule."""

    id: str
    names: Names
    expression: Expression
    action: Consequence


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """A compiled rate."""

    names: Names
    calls: int
    seconds: float
    key: str


class Tools:
    """Judges calls.

    `actions` are what the policy does about its findings, `approvals` the rules that a person may lift.
    """

    def __init__(self, config: ToolsConfig, where: str = "tools") -> None:
        self.config = config
        self.sensitive = Names(config.sensitive)
        self.trusted = Names(config.trusted)
        self.rules = tuple(_compile(rule, f"{where}.rules[{at}]") for at, rule in enumerate(config.rules))
        self.rates = tuple(_rate(rate, f"{where}.rates[{at}]") for at, rate in enumerate(config.rates))
        self.actions: dict[str, Action] = {rule.id: _ACTIONS[rule.action] for rule in self.rules}
        self.actions[TAINTED] = _ACTIONS[config.tainted]
        self.actions[RATE] = Action.BLOCK
        self.actions[SCHEMA] = _ACTIONS[config.schema]
        for rule_id in (CHANGED, SHADOWED, CROSS_REFERENCE, HELD):
            self.actions[rule_id] = _ACTIONS[config.definitions]
        self.approvals = frozenset(
            [rule.id for rule in self.rules if rule.action == "approve"]
            + ([TAINTED] if config.tainted == "approve" else [])
        )
        self.judges_calls = bool(self.rules or self.rates or self.sensitive)
        _prove(self, config.rules, where)

    def judge(self, call: ToolCall, subject: Subject, *, tainted: bool) -> list[Finding]:
        """What the rules and the taint say of a call; rates are counted elsewhere."""
        findings: list[Finding] = []
        if tainted and self.config.tainted != "allow" and self.sensitive.has(call):
            findings.append(finding(TAINTED, call.path))
        values: dict[str, object] | None = None
        for rule in self.rules:
            if rule.names and not rule.names.has(call):
                continue
            values = values or _values(call, subject, tainted=tainted)
            if _applies(rule, values):
                findings.append(finding(rule.id, call.path))
        return findings


def finding(rule: str, path: str, score: float = 1.0) -> Finding:
    """A finding about a call or a definition as a whole: it has a place, no span."""
    return Finding(rule, DETECTOR, 0, 0, score, path, tags=TAGS)


def _values(call: ToolCall, subject: Subject, *, tainted: bool) -> dict[str, object]:
    return {
        "tool": call.tool,
        "server": call.server,
        "args": call.args or {},
        "tenant": subject.tenant,
        "agent": subject.agent,
        "tainted": tainted,
    }


def _applies(rule: Rule, values: Mapping[str, object]) -> bool:
    try:
        return rule.expression.holds(values)
    except EvaluationError:
        return True  # what cannot be judged is treated as what the rule is about: fail closed


def _compile(rule: ToolRule, where: str) -> Rule:
    if not rule.id.startswith("tool.") or rule.id.count(".") != 1:
        raise ConfigError(f"{where}: `{rule.id}`: an id is `tool.name`")
    if not rule.match or not rule.miss:
        raise ConfigError(f"{where} `{rule.id}`: give at least one call to `match` and one to `miss`")
    return Rule(rule.id, Names(rule.tools), Expression(rule.when, f"{where} `{rule.id}`.when"), rule.action)


def _rate(rate: ToolRate, where: str) -> Rate:
    if rate.calls < 1 or rate.seconds <= 0 or not rate.tools:
        raise ConfigError(f"{where}: give `tools`, at least 1 call and more than 0 seconds")
    return Rate(Names(rate.tools), rate.calls, rate.seconds, where)


def _prove(tools: Tools, rules: Sequence[ToolRule], where: str) -> None:
    """Runs every rule's own examples. Raises ConfigError where one fails."""
    for at, (rule, compiled) in enumerate(zip(rules, tools.rules, strict=True)):
        for wanted, examples in ((True, rule.match), (False, rule.miss)):
            for number, example in enumerate(examples):
                call = _example_call(rule, example)
                values = _values(call, Subject(), tainted=example.tainted)
                applies = (not compiled.names or compiled.names.has(call)) and _applies(compiled, values)
                if applies is not wanted:
                    kind, says = ("match", "does not apply to") if wanted else ("miss", "applies to")
                    raise ConfigError(f"{where}.rules[{at}] `{rule.id}`: it {says} its own {kind}[{number}]")


def _example_call(rule: ToolRule, example: ToolExample) -> ToolCall:
    name = example.tool or (rule.tools[0].replace("*", "x").replace("?", "x") if rule.tools else "tool")
    server, slash, tool = name.partition("/")
    return ToolCall(tool, dict(example.args), server) if slash else ToolCall(name, dict(example.args))
