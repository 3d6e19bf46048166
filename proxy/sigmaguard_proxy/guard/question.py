"""What a dialect asks and is answered. Knows the shapes between an adapter and the service, no dialect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import orjson
from aiohttp import web

from sigmaguard.model import Action, Direction, Finding, Segment, Verdict
from sigmaguard.restore import Issued
from sigmaguard.wire.codec import Edit, Refusal, Usage
from sigmaguard.wire.errors import error_body
from sigmaguard_proxy.exchange import Exchange


@dataclass(slots=True)
class Question:
    """Texts to be judged: those on their way to a model, and those a model said.

    `issued` is what an earlier exchange put in the place of values: put back in what a model said. `call`
    names the exchange at the caller's, so that its answer finds these values; empty where it has no name.
    """

    input: list[Segment] = field(default_factory=list)
    output: list[Segment] = field(default_factory=list)
    issued: Issued | None = None
    call: str = ""


@dataclass(slots=True)
class Judged:
    """A question with its verdict.

    `edits` are what masking (and restoring) changes in the body; `issued` what can be put back of it, None
    where nothing can. `refusal` is set where the verdict blocks.
    """

    exchange: Exchange
    question: Question
    edits: list[Edit] = field(default_factory=list)
    issued: Issued | None = None
    refusal: Refusal | None = None

    @property
    def action(self) -> Action:
        """What is to be done."""
        return Action(self.exchange.header_verdict())

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """The verdicts behind it."""
        return self.exchange.verdicts()

    def findings(self) -> list[tuple[Direction, Finding]]:
        """Every finding with the way its text travels."""
        exchange = self.exchange
        found = [(Direction.INPUT, one) for verdict in exchange.input for one in verdict.findings]
        if exchange.output is not None:
            found += [(Direction.OUTPUT, one) for one in exchange.output.findings]
        return found

    def deciding(self) -> Verdict | None:
        """The verdict with the strongest intention."""
        order = list(Action)
        return max(self.verdicts, key=lambda one: order.index(one.intended), default=None)


class Adapter(Protocol):
    """One dialect. Stateless."""

    @property
    def protocol(self) -> "Dialect":
        """What records call it."""
        ...

    def ask(self, exchange: Exchange) -> Question:
        """The question in an exchange's parsed body. Raises WireError where the body is not its dialect's."""
        ...

    def answer(self, judged: Judged) -> web.Response:
        """The verdict as the dialect says it."""
        ...


class Dialect:
    """What records and refusals ask of a protocol; bodies are read by the adapter."""

    def __init__(self, protocol: str, endpoint: str) -> None:
        self.protocol = protocol
        self.endpoint = endpoint

    def refusal_body(self, refusal: Refusal) -> bytes:
        """A fault in OpenAI's error shape."""
        return error_body(refusal)

    def decode_request(self, body: object) -> list[Segment]:
        """Nothing: see the adapter."""
        return []

    def decode_response(self, body: object) -> list[Segment]:
        """Nothing: see the adapter."""
        return []

    def stream(self) -> Any:
        """Never asked for: nothing is streamed."""
        raise NotImplementedError("verdicts are not streamed")

    def model(self, body: object) -> str:
        """The model the caller names for its own exchange, where it does."""
        named = body.get("model") if isinstance(body, dict) else None
        return named if isinstance(named, str) else ""

    def wants_stream(self, body: object) -> bool:
        """Never."""
        return False

    def usage(self, body: object) -> Usage:
        """No tokens are counted."""
        return Usage()


def block_instead(judged: Judged, why: str) -> Refusal:
    """Blocks what would have to be masked where the caller cannot take masked text; the record says so too."""
    exchange = judged.exchange
    rule = next((one.rule for one in judged.verdicts if one.action is Action.MASK), "")
    exchange.input = [_blocking(one) for one in exchange.input]
    exchange.output = _blocking(exchange.output) if exchange.output is not None else None
    return Refusal(
        status=403,
        kind="sigmaguard_blocked",
        code=rule,
        message=f"Blocked by Sigmaguard: policy `{exchange.policy.name}`, rule `{rule}` masks this, but {why}. "
        f"Exchange {exchange.id}.",
        exchange=exchange.id,
    )


def _blocking(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, action=Action.BLOCK) if verdict.action is Action.MASK else verdict


def json_answer(judged: Judged, body: Mapping[str, Any]) -> web.Response:
    """A verdict as a JSON answer; a blocking verdict is an answer like any other, not an error."""
    headers = dict(judged.exchange.headers())
    return web.Response(body=orjson.dumps(body), headers=headers, content_type="application/json")
