"""Which rules and entities a policy can name, so that a misspelt one is noticed. Knows names, judges no text."""

from collections.abc import Iterable, Iterator, Mapping

from sigmaguard.actions.compiled import GRANTED
from sigmaguard.mask import entity_of
from sigmaguard.model import Finding
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.pack import Rule

# rules that are written in no file, with the entity they report; the detectors of these names declare them
BUILT_IN: Mapping[str, str] = {
    "canary.token": "CANARY",
    "echo.system_prompt": "SYSTEM_PROMPT",
    "injection.model": "",
    "limit.injection_unread": "",
}
SHAPED = ("URL", "UNSAFE_TEXT")  # what `urls` and `unsafe_text` report where their rule names no entity
LABELLED = (".csv", ".tsv")  # dictionaries whose second column names entities, any at all


def known_rules(policy: Policy, rules: Iterable[Rule]) -> frozenset[str]:
    """Every rule id that `rules:` of a pack can be about; `rules` are those of the rule files."""
    lists = (f"dictionary.{one['name']}" for one in _dictionaries(policy) if "name" in one)
    personal = (f"pii.{entity.lower()}" for entity in _personal())
    return frozenset([*(rule.id for rule in rules), *BUILT_IN, *personal, *lists, *policy.tools.actions, GRANTED])


def known_entities(policy: Policy, rules: Iterable[Rule]) -> frozenset[str] | None:
    """Every entity that `masks:` of a pack can be about; None where a dictionary's file may name any."""
    lists = tuple(_dictionaries(policy))
    if any(str(one.get("file", "")).endswith(LABELLED) for one in lists):
        return None
    found = [_entity(rule.id, rule.entity) for rule in rules]
    found += [_entity(rule, entity) for rule, entity in BUILT_IN.items()]
    found += [_entity(f"dictionary.{one.get('name', '')}", str(one.get("entity", ""))) for one in lists]
    return frozenset([*found, *_personal(), *SHAPED, "TERM", "*"])


def _entity(rule: str, entity: str) -> str:
    return entity_of(Finding(rule, "", 0, 0, 1.0, entity=entity))


def _dictionaries(policy: Policy) -> Iterator[Mapping[str, object]]:
    config = policy.pack.detectors.get("dictionary")
    lists = config.options.get("lists", ()) if config is not None else ()
    for one in lists if isinstance(lists, list | tuple) else ():
        if isinstance(one, Mapping):
            yield one


def _personal() -> list[str]:
    """The entities of `pii` and `names`, whether or not they are enabled."""
    from sigmaguard.detectors.names import ENTITIES  # noqa: PLC0415  Presidio is only paid for by who lints
    from sigmaguard.pii.table import kinds  # noqa: PLC0415

    return [*(kind.entity for kind in kinds()), *ENTITIES]
