"""Rule files from YAML, and their proof: every rule's examples run through the real detector."""

from collections.abc import Sequence
from pathlib import Path

from sigmaguard.detector import Detector, Passage
from sigmaguard.errors import ConfigError
from sigmaguard.fold import readings
from sigmaguard.model import Origin, Segment
from sigmaguard.policy.load import parse_yaml, read_text
from sigmaguard.policy.pack import Rule, RuleFile

LEAST_EXAMPLES = 2


def load_rule_file(path: Path) -> RuleFile:
    """The rules of a file. Raises ConfigError naming file, rule and field."""
    if not path.is_file():
        raise ConfigError(f"rule file {path.name}: no such file")
    file = parse_yaml(read_text(path), RuleFile, path.name)
    for at, rule in enumerate(file.rules):
        where = f"{path.name}: rules[{at}] `{rule.id}`"
        if rule.id.count(".") != 1:
            raise ConfigError(f"{where}: an id is `family.name`")
        if len(rule.match) < LEAST_EXAMPLES or len(rule.miss) < LEAST_EXAMPLES:
            raise ConfigError(f"{where}: give at least {LEAST_EXAMPLES} texts to `match` and to `miss`")
    return file


def prove_rules(detector: Detector, rules: Sequence[Rule]) -> list[str]:
    """What is wrong: a `match` example the rule does not find, or a `miss` example it does."""
    problems: list[str] = []
    for rule in rules:
        origin = rule.origins[0] if rule.origins else Origin.USER
        for wanted, texts in ((True, rule.match), (False, rule.miss)):
            for at, text in enumerate(texts):
                found = {one.rule for one in detector.detect((_passage(text, origin),))[0]}
                if (rule.id in found) is not wanted:
                    kind = "match" if wanted else "miss"
                    problems.append(f"{rule.id}: {kind}[{at}] is {'not found' if wanted else 'found'}")
    return problems


def _passage(text: str, origin: Origin) -> Passage:
    return Passage(Segment("/text", origin, text), readings(text))
