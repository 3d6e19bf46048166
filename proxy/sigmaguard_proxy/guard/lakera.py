"""`POST /v2/guard` as Lakera Guard answers it, for gateways that can call Lakera: Kong, APISIX, Portkey, LiteLLM.

After Lakera's public API reference for `v2/guard`. What our policy masks is told as `pii/...` with its place,
since gateways mask exactly that; what it blocks never is, so that they refuse it. Unlike Lakera's,
`payload[].text` names the kind of value and not the value: gateways log what they are told.
"""

from typing import Any

import msgspec
from aiohttp import web

from sigmaguard.decide import STRENGTH
from sigmaguard.errors import WireError
from sigmaguard.mask import entity_of
from sigmaguard.model import Action, Direction, Finding, Mode
from sigmaguard.wire.openai_chat import ChatCodec
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.guard.question import Dialect, Judged, Question, json_answer

_CATEGORIES = {
    "injection": "prompt_attack",
    "jailbreak": "prompt_attack",
    "url": "unknown_links",
    "leak": "data_leakage",
    "pii": "data_leakage",
    "canary": "data_leakage",
    "echo": "data_leakage",
}


class Asked(msgspec.Struct, frozen=True):
    """A request; other fields (`project_id`, `metadata`) are taken and not used: the key chooses the policy."""

    messages: list[dict[str, Any]]
    payload: bool = False
    breakdown: bool = False
    dev_info: bool = False


class LakeraAdapter:
    """Lakera's dialect."""

    protocol = Dialect("guard.lakera", "/v2/guard")

    def ask(self, exchange: Exchange) -> Question:
        """What the assistant says at the end is on its way out, everything before it on its way in."""
        asked = _asked(exchange.body)
        segments = ChatCodec().decode_request({"messages": asked.messages})
        said = len(asked.messages)
        while said and asked.messages[said - 1].get("role") == "assistant":
            said -= 1
        late = tuple(f"/messages/{at}/" for at in range(said, len(asked.messages)))
        output = [one for one in segments if late and one.path.startswith(late)]
        return Question(input=[one for one in segments if one not in output], output=output)

    def answer(self, judged: Judged) -> web.Response:
        """`flagged`, and what was asked for besides."""
        exchange, asked = judged.exchange, _asked(judged.exchange.body)
        strength = STRENGTH[judged.action]
        enforce = exchange.mode is Mode.ENFORCE
        counted = [
            (action, direction, one)
            for direction, one in judged.findings()
            if enforce and (action := _action(judged, direction, one)) in (Action.MASK, Action.BLOCK)
        ]
        flagged = strength >= STRENGTH[Action.MASK]
        body: dict[str, Any] = {"flagged": flagged, "metadata": {"request_uuid": exchange.id}}
        if asked.payload:
            body["payload"] = [_payload(action, one) for action, _, one in counted]
        if asked.breakdown:
            kinds = dict.fromkeys(_kind(action, one) for action, _, one in counted)
            if flagged and not kinds:  # blocked by a fault: something is detected, or a gateway would let it pass
                kinds["not_inspected"] = None
            body["breakdown"] = [_item(judged, kind, detected=True) for kind in kinds] or [
                _item(judged, kind, detected=False) for kind in ("prompt_attack", "data_leakage", "unknown_links")
            ]
        if asked.dev_info:
            policy = exchange.policy
            body["dev_info"] = {"version": policy.name, "model_version": policy.revision}
        return json_answer(judged, body)


def _asked(body: object) -> Asked:
    try:
        return msgspec.convert(body, Asked)
    except msgspec.ValidationError as error:
        raise WireError("bad_question", f'{error}; write {{"messages": [...]}}') from error


def _action(judged: Judged, direction: Direction, finding: Finding) -> Action:
    return judged.exchange.policy.action(finding.rule, finding.detector, direction)


def _kind(action: Action, finding: Finding) -> str:
    entity = entity_of(finding).lower()
    if action is Action.MASK:
        return f"pii/{entity}"
    family = finding.rule.partition(".")[0]
    return f"{_CATEGORIES.get(family, 'moderated_content')}/{finding.rule.partition('.')[2] or entity}"


def _payload(action: Action, finding: Finding) -> dict[str, Any]:
    at = finding.path.removeprefix("/messages/").partition("/")[0]
    return {
        "start": finding.start,
        "end": finding.end,
        "text": f"[{entity_of(finding)}]",
        "detector_type": _kind(action, finding),
        "labels": list(finding.tags),
        "message_id": int(at) if at.isdigit() else 0,
    }


def _item(judged: Judged, kind: str, *, detected: bool) -> dict[str, Any]:
    policy = judged.exchange.policy
    return {
        "project_id": judged.exchange.who.subject.tenant,
        "policy_id": f"{policy.name}@{policy.revision}",
        "detector_id": f"sigmaguard-{kind}",
        "detector_type": kind,
        "detected": detected,
    }
