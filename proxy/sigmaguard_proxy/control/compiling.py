"""Packs given as plain values, compiled: shipped ones, a tenant's versions, an agent's custom rules. Caches by content.

Runs in a thread: a compilation may load a model. What was compiled once stays as long as anybody uses it.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import msgspec
import orjson

from sigmaguard.errors import ConfigError
from sigmaguard.model import Action
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.load import convert, load_pack, pack_from
from sigmaguard.policy.pack import DetectorConfig, Pack, RuleFile
from sigmaguard.policy.rules import prove_rules

Raw = Mapping[str, object]
PLACE = "the policy"


class Compiler:
    """Compiles and remembers."""

    def __init__(self, loader: PolicyLoader) -> None:
        self._loader = loader
        self._compiled: dict[str, Policy] = {}
        self._used: set[str] = set()

    def shipped_names(self) -> list[str]:
        """The packs that come with Sigmaguard."""
        return sorted(path.stem for path in (self._loader.root / "packs").glob("*.yaml"))

    def named(self, name_or_path: str) -> Policy:
        """A shipped pack or, from the settings, a file. Raises ConfigError."""
        return self._once(f"name:{name_or_path}", lambda: self._loader.load(name_or_path))

    def pack(self, raw: Raw, name: str) -> Pack:
        """Plain values as a pack under the given name, merged with what they extend. Raises ConfigError.

        A pack from the API may extend shipped packs only and may not read files.
        """
        base = raw.get("extends")
        if base is not None and base not in self.shipped_names():
            raise ConfigError(f"{PLACE}: `extends` is one of {', '.join(self.shipped_names())}")
        if raw.get("rule_files"):
            raise ConfigError(f"{PLACE}: `rule_files` are not possible here; write the rules in `custom_rules`")
        return pack_from({**raw, "name": name}, self._loader.root, PLACE)

    def custom(self, raw: Raw, name: str, rules: Sequence[Raw] = ()) -> Policy:
        """A policy from plain values, with an agent's own rules added. Raises ConfigError."""
        digest = sha256(orjson.dumps([raw, list(rules), name], option=orjson.OPT_SORT_KEYS)).hexdigest()
        return self._once(digest, lambda: self._loader.compile(self._with_rules(self.pack(raw, name), rules)))

    def with_rules(self, base: Policy, name: str, rules: Sequence[Raw]) -> Policy:
        """A policy like another with rules added; a detector it does not run yet blocks. Raises ConfigError."""
        digest = sha256(orjson.dumps([base.revision, list(rules), name], option=orjson.OPT_SORT_KEYS)).hexdigest()
        missing = {str(rule.get("detector")) for rule in rules} - {
            detector for detector, config in base.pack.detectors.items() if config.enabled
        }
        # a rule that nobody runs would be a promise not kept
        turned_on = {detector: DetectorConfig(action=Action.BLOCK) for detector in sorted(missing)}
        pack = msgspec.structs.replace(base.pack, name=name, detectors={**base.pack.detectors, **turned_on})
        return self._once(digest, lambda: self._loader.compile(self._with_rules(pack, rules)))

    def _with_rules(self, pack: Pack, rules: Sequence[Raw]) -> Pack:
        files = tuple(convert(rule, RuleFile, f"rules[{at}]") for at, rule in enumerate(rules))
        return msgspec.structs.replace(pack, custom_rules=(*pack.custom_rules, *files))

    def check(self, raw: Raw, name: str, rules: Sequence[Raw] = ()) -> Policy:
        """Like `custom`, and proves every rule written in it by its own examples; remembers nothing."""
        policy = self._loader.compile(self._with_rules(self.pack(raw, name), rules))
        for file in policy.pack.custom_rules:
            active = policy.detectors.get(file.detector)
            problems = prove_rules(active.detector, file.rules) if active is not None else []
            if problems:
                raise ConfigError(f"{PLACE}: custom_rules: {'; '.join(problems)}")
        return policy

    def description(self, name: str) -> str:
        """What a shipped pack says about itself."""
        return load_pack(name, self._loader.root)[0].description

    def _once(self, key: str, make: Callable[[], Policy]) -> Policy:
        self._used.add(key)
        policy = self._compiled.get(key)
        if policy is None:
            policy = self._compiled[key] = make()
        return policy

    def forget_unused(self) -> None:
        """Drops what has not been asked for since the last call."""
        for key in self._compiled.keys() - self._used:
            del self._compiled[key]
        self._used.clear()
