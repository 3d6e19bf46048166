"""A pack to a compiled policy: detectors built, tables laid out, revision computed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec

from sigmaguard.actions.compiled import GRANTED, Tools
from sigmaguard.detectors import catalog
from sigmaguard.errors import ConfigError
from sigmaguard.model import Action, Direction, Timing
from sigmaguard.policy.compiled import ActiveDetector, Plan, Policy
from sigmaguard.policy.files import beside
from sigmaguard.policy.load import load_pack
from sigmaguard.policy.pack import ActionByDirection, DetectorConfig, Pack, Rule, RuleFile
from sigmaguard.policy.refused_entities import refuse_entities
from sigmaguard.policy.rules import load_rule_file


class PolicyLoader:
    """Loads and compiles packs from one folder of shipped packs and rules; rule files are read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._shipped: tuple[RuleFile, ...] | None = None

    def shipped_rules(self) -> tuple[RuleFile, ...]:
        """Every rule file under `rules/`."""
        if self._shipped is None:
            self._shipped = tuple(load_rule_file(path) for path in sorted((self.root / "rules").glob("*.yaml")))
        return self._shipped

    def load(self, name_or_path: str) -> Policy:
        """The compiled policy of a shipped name or a file. Raises ConfigError."""
        pack, folder = load_pack(name_or_path, self.root)
        return self.compile(pack, folder)

    def compile(self, pack: Pack, folder: Path | None = None) -> Policy:
        """The compiled policy of a pack. Raises ConfigError."""
        own = [(folder or self.root) / name for name in pack.rule_files]
        files = [*self.shipped_rules(), *map(load_rule_file, own)]
        policy = compile_pack(pack, [*files, *pack.custom_rules], folder or self.root)
        return replace(policy, files=(*own, *policy.files)) if own else policy


def compile_pack(pack: Pack, rule_files: Sequence[RuleFile], folder: Path | None = None) -> Policy:
    """The compiled policy of a pack with these rules; `folder` is where the files its options name are looked for.

    Raises ConfigError naming the place.
    """
    files: list[Path] = []
    rules = _rules_by_detector(rule_files)
    _check_rule_names(pack, rules)
    if (everything := pack.masks.get("*")) and everything.operator == "block":
        raise ConfigError(f"{pack.name}: masks.*: `block` is for one entity; to refuse all, set the detector's action")
    active: dict[str, tuple[ActiveDetector, DetectorConfig]] = {}
    for name, config in pack.detectors.items():
        where = f"{pack.name}: detectors.{name}"
        if config.enabled:
            options = {key: beside(value, folder or Path(), files) for key, value in config.options.items()}
            active[name] = (_activate(name, config, options, pack, rules.get(name, ()), where), config)
        elif name not in catalog.DETECTORS:
            raise ConfigError(f"{where}: no such detector")
    revision = _revision(pack, rule_files, [one for one, _ in active.values()])
    tools = Tools(pack.tools, f"{pack.name}: tools")
    policy = Policy(
        name=pack.name,
        revision=revision,
        description=pack.description,
        plans={
            (direction, timing): _plan(direction, timing, active, revision)
            for direction in Direction
            for timing in Timing
        },
        detectors={name: one for name, (one, _) in active.items()},
        rule_actions=tool_actions(pack, tools)
        | {name: _pair_or_none(over.action) for name, over in pack.rules.items() if over.action is not None},
        rule_thresholds={name: over.threshold for name, over in pack.rules.items() if over.threshold is not None},
        disabled=frozenset(name for name, over in pack.rules.items() if not over.enabled),
        masks=pack.masks,
        limits=pack.limits,
        budget_ms=pack.budget_ms,
        on_fault=pack.on_fault,
        unknown_endpoints=pack.unknown_endpoints,
        refuse_unknown_fields=pack.unknown_fields == "refuse",
        tools=tools,
        pack=pack,
        files=tuple(dict.fromkeys(files)),
    )
    return refuse_entities(policy, rules)


def tool_actions(pack: Pack, tools: Tools) -> dict[str, tuple[Action | None, Action | None]]:
    """What the `tools:` section itself asks for, unless `rules:` says something of the family."""
    # what a person has granted is only reported, whatever the family is set to
    actions: dict[str, tuple[Action | None, Action | None]] = {GRANTED: (Action.FLAG, Action.FLAG)}
    family = pack.rules.get("tool.*")
    if family is None or family.action is None:
        actions |= {name: (action, action) for name, action in tools.actions.items()}
    return actions


def _rules_by_detector(files: Sequence[RuleFile]) -> dict[str, tuple[Rule, ...]]:
    rules: dict[str, list[Rule]] = {}
    seen: dict[str, str] = {}
    for file in files:
        if file.detector not in catalog.DETECTORS:
            raise ConfigError(f"rules for `{file.detector}`: there is no such detector")
        for rule in file.rules:
            if rule.id in seen:
                raise ConfigError(f"rule `{rule.id}` is written twice ({seen[rule.id]} and {file.detector})")
            seen[rule.id] = file.detector
            rules.setdefault(file.detector, []).append(rule)
    return {name: tuple(found) for name, found in rules.items()}


def _check_rule_names(pack: Pack, rules: Mapping[str, tuple[Rule, ...]]) -> None:
    known = {rule.id for found in rules.values() for rule in found}
    families = {name.partition(".")[0] + ".*" for name in known} | {"tool.*"}
    families |= {f"{family}.*" for every in catalog.FAMILIES.values() for family in every}
    for name in pack.rules:
        if name.endswith(".*"):
            if name not in families:
                raise ConfigError(f"{pack.name}: rules.{name}: no rule family of that name")
        elif "." not in name:
            raise ConfigError(f"{pack.name}: rules.{name}: a rule is `family.name`, a family `family.*`")


def _activate(
    name: str, config: DetectorConfig, options: dict[str, object], pack: Pack, rules: Sequence[Rule], where: str
) -> ActiveDetector:
    detector = catalog.build(name, options, rules, where)
    actions = _pair(config.action)
    if config.timing is Timing.PARALLEL and Action.MASK in actions:
        raise ConfigError(f"{where}.timing: what is masked must be masked before it leaves; use `timing: before`")
    return ActiveDetector(
        detector=detector,
        actions=actions,
        threshold=config.threshold,
        timing=config.timing,
        origins=frozenset(config.origins) or catalog.origins(name),
        on_fault=config.on_fault or pack.on_fault,
        families=catalog.families(name, rules),
    )


def _pair(action: Action | ActionByDirection) -> tuple[Action, Action]:
    if isinstance(action, ActionByDirection):
        return action.input, action.output
    return action, action


def _pair_or_none(action: Action | ActionByDirection | None) -> tuple[Action | None, Action | None]:
    return (None, None) if action is None else _pair(action)


def _plan(
    direction: Direction, timing: Timing, active: Mapping[str, tuple[ActiveDetector, DetectorConfig]], revision: str
) -> Plan:
    # an answer has left no time to be parallel with: on the way out everything runs before
    chosen = tuple(
        one
        for one, config in active.values()
        if direction.value in config.directions
        and (one.timing is timing if direction is Direction.INPUT else timing is Timing.BEFORE)
    )
    origins = frozenset(origin for one in chosen for origin in one.origins)
    return Plan(f"{revision}/{direction.value}/{timing.value}", chosen, origins)


def _revision(pack: Pack, rule_files: Sequence[RuleFile], active: Sequence[ActiveDetector]) -> str:
    versions = [(one.detector.name, one.detector.version) for one in active]
    content = msgspec.json.encode((pack, rule_files, versions), order="deterministic")
    return sha256(content).hexdigest()[:12]
