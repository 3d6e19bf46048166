"""`sigmaguard policy test|lint|show|diff` and `canary new`: packs on the command line. Changes no policy."""

import argparse
import difflib
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import yaml

from sigmaguard.detectors.canary import new_canary
from sigmaguard.model import Direction
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.known import known_entities, known_rules
from sigmaguard.policy.load import load_pack
from sigmaguard.policy.pack import Case, Pack, Rule
from sigmaguard.policy.rules import prove_rules
from sigmaguard.scanning import Scanner
from sigmaguard_policies import policies_root


def test_command(arguments: argparse.Namespace) -> int:
    """Proves every rule by its examples and every case of the pack; 1 where one fails."""
    loader = PolicyLoader(policies_root())
    policy = loader.load(arguments.policy)
    problems: list[str] = []
    rules = _rules(loader, policy)
    for name, found in rules.items():
        active = policy.detectors.get(name)
        if active is not None:
            problems += prove_rules(active.detector, found)
            print(f"{name}: {len(found)} rules proven by their examples", file=sys.stderr)
    problems += prove_cases(policy)
    for problem in problems:
        print(problem)
    counted = sum(len(found) for name, found in rules.items() if name in policy.detectors)
    total = counted + len(policy.pack.cases)
    print(f"{policy.name} {policy.revision}: {total} rules and cases, {len(problems)} problems")
    return 1 if problems else 0


def prove_cases(policy: Policy) -> list[str]:
    """The pack's cases that end in another action than they say."""
    scanner = Scanner(policy)
    problems: list[str] = []
    for at, case in enumerate(policy.pack.cases):
        result = scanner.scan(((case.origin, case.text),), Direction(case.direction))[0]
        rules = {finding.rule for finding in result.findings}
        if result.action is not case.action or (case.rule and case.rule not in rules):
            problems.append(
                f"cases[{at}]: {_wanted(case)}, but it ends in {result.action} by {sorted(rules) or 'none'}"
            )
    return problems


def _wanted(case: Case) -> str:
    return f"wants {case.action}" + (f" by {case.rule}" if case.rule else "")


def lint_command(arguments: argparse.Namespace) -> int:
    """Compiles a policy and says what is odd about it; 1 where something is."""
    loader = PolicyLoader(policies_root())
    policy = loader.load(arguments.policy)
    oddities = list(_oddities(policy, _rules(loader, policy)))
    for oddity in oddities:
        print(f"{policy.name}: {oddity}")
    print(f"{policy.name} {policy.revision}: {len(policy.detectors)} detectors, {len(oddities)} oddities")
    return 1 if oddities else 0


def _oddities(policy: Policy, rules: Mapping[str, tuple[Rule, ...]]) -> Iterator[str]:
    pack = policy.pack
    families = {detector.name for detector in (active.detector for active in policy.detectors.values())}
    if not pack.cases:
        yield "cases: there are none; a policy that cannot be tested cannot be trusted"
    for name, over in pack.rules.items():
        if over.action is None and over.threshold is None and over.enabled:
            yield f"rules.{name}: changes nothing; remove it"
    for name, config in pack.detectors.items():
        if config.on_fault is not None and config.on_fault.value == "open" and config.enabled:
            yield f"detectors.{name}.on_fault: open lets traffic through uninspected when it fails"
    if families and policy.unknown_endpoints == "pass":
        yield "unknown_endpoints: pass lets every endpoint without a codec through uninspected; use inspect or refuse"
    if not families and policy.name != "off":
        yield "detectors: none is enabled; use the pack `off` if that is meant"
    yield from _misspelt(policy, [rule for found in rules.values() for rule in found])


def _misspelt(policy: Policy, rules: Sequence[Rule]) -> Iterator[str]:
    """Names that nothing answers to: what is asked for under them never happens."""
    ids = known_rules(policy, rules)
    for name in policy.pack.rules:
        if not name.endswith(".*") and name not in ids:
            yield f"rules.{name}: no rule of that name; {_nearest(name, ids)}"
    entities = known_entities(policy, rules)
    if entities is None:
        return
    for name in policy.pack.masks:
        if name not in entities:
            yield f"masks.{name}: no entity of that name; {_nearest(name, entities)}"


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=3)
    return f"did you mean {', '.join(near)}?" if near else "none is like it"


def show_command(arguments: argparse.Namespace) -> int:
    """Prints a policy as it stands after everything it extends, as YAML."""
    pack, _ = load_pack(arguments.policy, policies_root())
    sys.stdout.write(pack_to_yaml(pack))
    return 0


def diff_command(arguments: argparse.Namespace) -> int:
    """Prints what changes from one policy to another, one setting a line; 0 also where something does."""
    old, _ = load_pack(arguments.old, policies_root())
    new, _ = load_pack(arguments.new, policies_root())
    for line in pack_diff(old, new):
        print(line)
    return 0


def pack_diff(old: Pack, new: Pack) -> list[str]:
    """The settings in which two packs differ: `- path: value` gone, `+ path: value` come, `~ path: old -> new`."""
    before, after = dict(_flat(msgspec.to_builtins(old))), dict(_flat(msgspec.to_builtins(new)))
    lines: list[str] = []
    for path in sorted({*before, *after}):
        was, now = before.get(path), after.get(path)
        if path not in after:
            lines.append(f"- {path}: {_short(was)}")
        elif path not in before:
            lines.append(f"+ {path}: {_short(now)}")
        elif was != now:
            lines.append(f"~ {path}: {_short(was)} -> {_short(now)}")
    return lines


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _short(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def pack_to_yaml(pack: Pack) -> str:
    """A pack as YAML that loads back to the same pack."""
    values = msgspec.to_builtins(pack)
    values["extends"] = None
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110))


def canary_command(arguments: argparse.Namespace) -> int:
    """Prints a new canary token; the detector `canary` knows it by its own check digits."""
    print(new_canary(os.urandom(16)))
    print(
        f"Plant it where `{arguments.label}` lies; the rule canary.token reports it wherever it turns up.",
        file=sys.stderr,
    )
    return 0


def _rules(loader: PolicyLoader, policy: Policy) -> dict[str, tuple[Rule, ...]]:
    """Every rule by its detector: the shipped ones and the pack's own."""
    found: dict[str, tuple[Rule, ...]] = {}
    for file in (*loader.shipped_rules(), *policy.pack.custom_rules):
        found[file.detector] = (*found.get(file.detector, ()), *file.rules)
    return found
