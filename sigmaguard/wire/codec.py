"""What a codec is: a protocol's bodies and streams to segments and back. Knows shapes, no protocol."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from sigmaguard.model import Direction, Origin, Segment

if TYPE_CHECKING:
    from sigmaguard.wire.stream_shape import Shape


class Refusal(msgspec.Struct, frozen=True):
    """Why an exchange is refused: everything a protocol needs to say it in its own shape.

    `code` is a rule id or a fault kind; `kind` is `sigmaguard_blocked` for a verdict and the
    protocol's usual word otherwise (`invalid_request_error`, `rate_limit_error`, ...).
    """

    status: int
    kind: str
    code: str
    message: str
    exchange: str
    retry_after_s: float | None = None


class Delta(msgspec.Struct, frozen=True):
    """A fragment of one channel's text inside one frame; `path` is the pointer of the string in the frame."""

    channel: str
    path: str
    origin: Origin
    text: str
    is_json: bool = False


class Frame(msgspec.Struct, frozen=True):
    """One server-sent event, decoded.

    `raw` are the event's bytes as received, terminator included, but for lines nobody inspects
    (`sse_fields`); `body` the parsed JSON of its
    data, None where it has none (`[DONE]`, comments, pings, an unknown event). `deltas` are
    fragments, `wholes` complete texts (a `done` event that repeats everything), `closes` channels
    whose text is complete once this frame goes out: held text must be sent before it. `ends` marks
    the stream's last frames ([DONE], message_stop, response.completed). `plain` is the codec's own:
    the frame has the one form that is nearly all of its stream.
    """

    raw: bytes
    body: object = None
    event: str = ""
    deltas: tuple[Delta, ...] = ()
    wholes: tuple[Segment, ...] = ()
    closes: tuple[str, ...] = ()
    ends: bool = False
    plain: bool = False


class StreamCodec(Protocol):
    """One stream's decoder and encoder; holds what it needs to shape frames like the upstream's."""

    def decode(self, raw: bytes, event: str, data: bytes) -> Frame:
        """What one server-sent event carries. Raises WireError for data that is not its protocol's.

        The frame must be encoded (`keep`, `rewrite`) or dropped before the next event is decoded.
        """
        ...

    def shape(self, frame: Frame, data: bytes) -> "Shape | None":
        """The shape by which the next frames like this one are told, None where there is none.

        It counts until a frame of another kind is decoded.
        """
        ...

    def ran(self, number: int) -> None:
        """Frames of a shape leave undecoded, the last of them with this sequence number (-1 without one)."""
        ...

    def keep(self, frame: Frame) -> bytes:
        """The frame as it came, but for what our own frames before it make untrue (sequence numbers)."""
        ...

    def rewrite(self, frame: Frame, texts: Mapping[str, str]) -> bytes:
        """The frame with the strings at these pointers replaced, everything else kept.

        What repeats an edited text in other words (token log-probabilities) is taken out.
        """
        ...

    def fragment(self, channel: str, text: str) -> bytes:
        """A new frame that adds `text` to a channel, shaped like the channel's frames so far."""
        ...

    def refuse(self, refusal: Refusal) -> bytes:
        """The frames that end a stream which may not go on; SDKs end their loop or raise, never hang."""
        ...


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the upstream counted them; -1 where it did not say."""

    input_tokens: int = -1
    output_tokens: int = -1


class Codec(Protocol):
    """A protocol's endpoint. Stateless and shared.

    `decode_request` and `decode_response` find every string that can carry an attack or a leak;
    strings of fields the codec does not know are segments too (origin `document` where nothing
    better is known), fields that are identifiers or enums are declared opaque in the codec's table.
    """

    @property
    def protocol(self) -> str:
        """`openai.chat`, `openai.responses`, `anthropic.messages`, ..."""
        ...

    @property
    def endpoint(self) -> str:
        """The route it serves, such as `/v1/chat/completions`."""
        ...

    def decode_request(self, body: object) -> list[Segment]:
        """Segments of a request body. Raises WireError where the body is not a JSON object."""
        ...

    def decode_response(self, body: object) -> list[Segment]:
        """Segments of a whole (not streamed) answer."""
        ...

    def stream(self) -> StreamCodec:
        """A fresh stream codec for one answer."""
        ...

    def refusal_body(self, refusal: Refusal) -> bytes:
        """The JSON error body the protocol's SDKs raise as their ordinary exception."""
        ...

    def model(self, body: object) -> str:
        """The model a request names, empty where none."""
        ...

    def wants_stream(self, body: object) -> bool:
        """Whether a request asks for a streamed answer."""
        ...

    def usage(self, body: object) -> Usage:
        """Token counts of a whole answer or of a stream frame's body."""
        ...


class Edit(msgspec.Struct, frozen=True):
    """Replace [start, end) of the string at `path` with `text` (already escaped where the string is JSON)."""

    path: str
    start: int
    end: int
    text: str


class Editable(Protocol):
    """A body that is no JSON document, with its texts: a form, or text alone."""

    def encode(self, edits: Sequence[Edit]) -> bytes:
        """The body with the edits applied. Raises WireError where one cannot be."""
        ...


class Registry(Protocol):
    """Finds the codec for a request."""

    def find(self, method: str, path: str) -> Codec | None:
        """The codec of a route, None where the route is unknown."""
        ...

    def unknown(self, *, anthropic: bool) -> Codec:
        """The codec for a route nobody knows; `anthropic` says in whose shape errors are told."""
        ...

    def all(self) -> Sequence[Codec]:
        """Every codec, for the coverage matrix."""
        ...


__all__ = ["Codec", "Delta", "Direction", "Edit", "Editable", "Frame", "Refusal", "Registry", "StreamCodec", "Usage"]
