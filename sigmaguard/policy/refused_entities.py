"""Entities that a pack's `masks` refuse instead of masking. Knows rules and actions, no text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sigmaguard.model import Action, Direction
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.pack import Rule

OWN_RULES = ("pii", "names")  # detectors whose rules are `pii.<entity>`


def refuse_entities(policy: Policy, rules: Mapping[str, Sequence[Rule]]) -> Policy:
    """The policy with every rule that would mask an entity whose operator is `block` made to block."""
    refused = {entity for entity, mask in policy.masks.items() if mask.operator == "block"}
    if not refused:
        return policy
    named = [(rule.id, detector) for detector, found in rules.items() for rule in found if rule.entity in refused]
    named += [(f"pii.{entity.lower()}", detector) for entity in sorted(refused) for detector in OWN_RULES]
    actions = dict(policy.rule_actions)
    for rule, detector in named:
        if detector in policy.detectors:
            now = [policy.action(rule, detector, direction) for direction in Direction]
            if Action.MASK in now:
                into = [Action.BLOCK if action is Action.MASK else action for action in now]
                actions[rule] = (into[0], into[1])
    return replace(policy, rule_actions=actions)
