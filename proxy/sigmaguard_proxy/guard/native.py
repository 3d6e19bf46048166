"""`POST /v1/guard`: our own dialect. Texts or a whole chat in, verdict, masked texts and a restore token out."""

from typing import Any, Literal

import msgspec
import orjson
from aiohttp import web

from sigmaguard.errors import WireError
from sigmaguard.model import Action, Direction, Finding, Origin, Segment
from sigmaguard.wire.body import encode_edits
from sigmaguard.wire.fields import shown_pointer
from sigmaguard.wire.openai_chat import ChatCodec
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.guard.question import Dialect, Judged, Question, json_answer
from sigmaguard_proxy.guard.restoring import Sealer

# how corpora and other gateways name origins; the engine's own names are taken as well
ORIGINS = {"tool": Origin.TOOL_RESULT, **{origin.value: origin for origin in Origin}}
EXAMPLE = '{"segments": [{"text": "...", "origin": "user"}]} or {"messages": [...]}'


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text. `origin` is user, system, assistant, tool_call, tool_result (or tool), document, tool_definition.

    By default `user` on the way in and `assistant` on the way out. Texts of one `message` (any name) belong
    together: a word split over two of them is still seen. `is_json` keeps masked text valid JSON.
    """

    text: str
    origin: str = ""
    message: str = ""
    is_json: bool = False


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question. Either `segments` or OpenAI chat `messages` (with `tools`, where there are any).

    `restore` is the token of an earlier answer: placeholders in an output are turned back into values.
    `model` is only recorded.
    """

    direction: Literal["input", "output"] = "input"
    segments: list[Text] = []
    messages: list[dict[str, Any]] = []
    tools: list[Any] = []
    restore: str = ""
    model: str = ""


class NativeAdapter:
    """Our own dialect."""

    protocol = Dialect("guard.v1", "/v1/guard")

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def ask(self, exchange: Exchange) -> Question:
        """Raises WireError."""
        try:
            asked = msgspec.convert(exchange.body, Asked)
        except msgspec.ValidationError as error:
            raise WireError("bad_question", f"{error}; write {EXAMPLE}") from error
        if bool(asked.segments) == bool(asked.messages):
            raise WireError("bad_question", f"give either segments or messages; write {EXAMPLE}")
        exchange.model = asked.model
        is_output = asked.direction == "output"
        segments = _texts(asked, is_output=is_output) if asked.segments else _chat(exchange.body)
        if not is_output:
            return Question(input=segments)
        issued = self._sealer.open(exchange.who.subject, asked.restore) if asked.restore else None
        return Question(output=segments, issued=issued)

    def answer(self, judged: Judged) -> web.Response:
        """The verdict, and the texts as they should go on where they were changed."""
        exchange, deciding = judged.exchange, judged.deciding()
        verdicts = judged.verdicts
        body: dict[str, Any] = {
            "exchange": exchange.id,
            "action": judged.action.value,
            "intended": deciding.intended.value if deciding is not None else Action.ALLOW.value,
            "mode": exchange.mode.value,
            "policy": exchange.policy.name,
            "rule": deciding.rule if deciding is not None else "",
            "score": round(max((one.score for one in verdicts), default=0.0), 6),
            "message": judged.refusal.message if judged.refusal is not None else "",
            "findings": [_finding(direction, one) for direction, one in judged.findings()],
            "outcomes": {name: outcome.value for one in verdicts for name, outcome in one.outcomes},
            "faults": [
                {"kind": fault.kind, "source": fault.source.value, "detector": fault.detector, "message": fault.message}
                for one in verdicts
                for fault in one.faults
            ],
        }
        if judged.edits:
            changed = orjson.loads(encode_edits(exchange.plain, judged.edits))
            body |= {key: changed[key] for key in ("segments", "messages", "tools") if changed.get(key)}
        if judged.issued:
            body["restore"] = self._sealer.seal(exchange.who.subject, judged.issued)
        return json_answer(judged, body)


def _texts(asked: Asked, *, is_output: bool) -> list[Segment]:
    default = Origin.ASSISTANT if is_output else Origin.USER
    segments: list[Segment] = []
    for at, one in enumerate(asked.segments):
        origin = ORIGINS.get(one.origin) if one.origin else default
        if origin is None:
            known = ", ".join(ORIGINS)
            raise WireError("bad_question", f"segments[{at}].origin `{one.origin[:32]}`: there are {known}")
        path = f"/segments/{at}/text"
        segments.append(Segment(path, origin, one.text, message=one.message or path, is_json=one.is_json))
    return segments


def _chat(body: object) -> list[Segment]:
    """A chat's texts, read as the proxy reads it."""
    assert isinstance(body, dict)
    return ChatCodec().decode_request({key: body[key] for key in ("messages", "tools") if key in body})


def _finding(direction: Direction, finding: Finding) -> dict[str, Any]:
    said = {
        "rule": finding.rule,
        "detector": finding.detector,
        "direction": direction.value,
        "path": shown_pointer(finding.path),
        "start": finding.start,
        "end": finding.end,
        "score": round(finding.score, 6),
        "entity": finding.entity,
        "view": finding.view,
        "tags": finding.tags,
        "digest": finding.digest,
    }
    head, _, rest = finding.path.removeprefix("/segments/").partition("/")
    if rest and head.isdigit():
        said["segment"] = int(head)
    return said
