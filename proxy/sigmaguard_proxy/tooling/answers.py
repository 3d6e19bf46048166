"""The tool calls of one LLM answer, whole or streamed: judged, and the conversation's taint carried on."""

import re
from collections.abc import Sequence

import orjson

from sigmaguard.actions.call import ToolCall
from sigmaguard.actions.compiled import DETECTOR
from sigmaguard.actions.llm import CallsInStream, calls_in_answer, history, texts_in_answer
from sigmaguard.decide import decide
from sigmaguard.model import Action, Direction, Finding, Mode, Segment, Verdict
from sigmaguard.wire.codec import Frame
from sigmaguard_proxy.exchange import Exchange
from sigmaguard_proxy.tooling.tooling import Tooling, scope, strongest

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')  # in JSON source; the colon makes it a key


def answer_tools(tooling: Tooling | None, exchange: Exchange) -> "AnswerTools | None":
    """The judge of an answer's calls; None where the policy says nothing about calls, and nothing is spent."""
    if tooling is None or exchange.identity is None or not exchange.policy.tools.judges_calls:
        return None
    return AnswerTools(tooling, exchange)


class AnswerTools:
    """One answer's calls."""

    def __init__(self, tooling: Tooling, exchange: Exchange) -> None:
        self._tooling = tooling
        self._exchange = exchange
        self._stream = CallsInStream()
        self._scope = scope(exchange.who.subject)
        self._calls: list[ToolCall] = []
        self.findings: list[Finding] = []
        taint = tooling.taint
        try:
            body = orjson.loads(exchange.plain or exchange.raw or b"{}")
        except orjson.JSONDecodeError:
            body = {}
        past = history(body, exchange.segments, exchange.policy.tools.trusted)
        known = taint.knows_text(self._scope, past.said) or (
            bool(past.previous) and taint.knows_name(self._scope, past.previous)
        )
        self.is_tainted = past.untrusted or known
        if self.is_tainted:
            taint.mark_texts(self._scope, past.said)

    async def whole(self, body: object, segments: Sequence[Segment], verdict: Verdict) -> Verdict:
        """The verdict on a whole answer with its calls judged, too."""
        calls = calls_in_answer(body)
        for call in calls:
            self.findings += await self._judge(call)
        self._remember(texts_in_answer(body), str(body.get("id", "")) if isinstance(body, dict) else "")
        if not self.findings:
            return verdict
        return self._decided(verdict, _spread(self._exchange, self.findings, segments))

    async def streamed(self, frame: Frame) -> str:
        """Judges the calls that a frame completes; the rule that stops the stream, empty where it may go on."""
        for call in self._stream.feed(frame):
            findings = await self._judge(call)
            self.findings += findings
            # what has begun to leave cannot be masked any more
            if self._exchange.mode is Mode.ENFORCE and strongest(self._exchange.policy, findings, Direction.OUTPUT) in (
                Action.MASK,
                Action.BLOCK,
            ):
                return findings[0].rule
        if frame.ends:
            self._remember(self._stream.texts(), self._stream.response)
        return ""

    def waits(self, frame: Frame) -> bool:
        """Whether judging this frame may have to wait for a person, so that what is ready should leave first."""
        return bool(self._exchange.policy.tools.approvals) and (bool(frame.closes) or bool(frame.wholes) or frame.ends)

    async def _judge(self, call: ToolCall) -> list[Finding]:
        # a call is counted where it is made, not where it is asked for: rates are the gateway's
        findings = self._tooling.judge(self._exchange, call, tainted=self.is_tainted, counted=False)
        self._calls.append(call)
        return await self._tooling.approved(self._exchange, call, findings, is_asked_for=True)

    def _remember(self, texts: Sequence[str], response: str) -> None:
        taint = self._tooling.taint
        for call in self._calls:
            taint.mark_call(self._scope, call, tainted=self.is_tainted)
        self._calls = []
        if self.is_tainted:
            taint.mark_texts(self._scope, texts)
            if response:
                taint.mark_name(self._scope, response)

    def _decided(self, verdict: Verdict, findings: Sequence[Finding]) -> Verdict:
        return decide(
            self._exchange.policy,
            self._exchange.mode,
            Direction.OUTPUT,
            [*verdict.findings, *findings],
            faults=verdict.faults,
            outcomes=dict(verdict.outcomes),
            score=verdict.score,
        )


def _spread(exchange: Exchange, findings: Sequence[Finding], segments: Sequence[Segment]) -> list[Finding]:
    """Findings that ask for masking, as one over each argument text of their call."""
    result: list[Finding] = []
    for one in findings:
        if exchange.policy.action(one.rule, DETECTOR, Direction.OUTPUT) is not Action.MASK:
            result.append(one)
            continue
        for segment in segments:
            if segment.path == one.path or segment.path.startswith(one.path + "/"):
                spans = _spans(segment)
                result += [
                    Finding(one.rule, DETECTOR, start, end, one.score, segment.path, entity="WITHHELD", tags=one.tags)
                    for start, end in spans
                ]
    return result


def _spans(segment: Segment) -> list[tuple[int, int]]:
    if segment.is_json:
        return [match.span(1) for match in _STRING.finditer(segment.text) if match[1] and not match[2]]
    return [(0, len(segment.text))]
