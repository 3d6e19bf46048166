"""Which codec serves a route. The one place that names every endpoint."""

from collections.abc import Sequence

from sigmaguard.model import Origin
from sigmaguard.wire.anthropic_messages import MessagesCodec
from sigmaguard.wire.codec import Codec
from sigmaguard.wire.openai_chat import ChatCodec
from sigmaguard.wire.openai_responses import ResponsesCodec
from sigmaguard.wire.openai_simple import SimpleCodec


class Routes:
    """Codecs by method and path; a trailing slash does not make another route."""

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self._by_path = {codec.endpoint: codec for codec in codecs}

    def find(self, method: str, path: str) -> Codec | None:
        """The codec of a route, None where the route is unknown. Stored answers are read by their kind's codec."""
        codec = self._by_path.get(path) or self._by_path.get(path.rstrip("/"))
        if codec is not None:
            return codec
        if method in ("GET", "POST", "DELETE"):
            for prefix in ("/v1/models", "/v1/responses", "/v1/chat/completions"):
                if path.startswith(prefix + "/"):
                    return self._by_path[prefix]
        return None

    def all(self) -> Sequence[Codec]:
        """Every codec."""
        return self._codecs


def registry() -> Routes:
    """Every endpoint Sigmaguard understands."""
    user, document, made = Origin.USER, Origin.DOCUMENT, Origin.ASSISTANT
    return Routes(
        (
            ChatCodec(),
            ResponsesCodec(),
            MessagesCodec(),
            MessagesCodec("/v1/messages/count_tokens"),
            SimpleCodec("openai.completions", "/v1/completions", {"prompt": user, "suffix": user}, made),
            SimpleCodec("openai.embeddings", "/v1/embeddings", {"input": document}, made),
            # a text sent to be judged is no instruction to a model: secrets count in it, injections do not
            SimpleCodec("openai.moderations", "/v1/moderations", {"input": Origin.SYSTEM}, made),
            SimpleCodec("openai.models", "/v1/models", {}, document),
            SimpleCodec("openai.images", "/v1/images/generations", {"prompt": user}, made),
            SimpleCodec("openai.images", "/v1/images/edits", {"prompt": user}, made),
            SimpleCodec("openai.images", "/v1/images/variations", {}, made),
            SimpleCodec("openai.audio", "/v1/audio/speech", {"input": user, "instructions": user}, made),
            SimpleCodec("openai.audio", "/v1/audio/transcriptions", {"prompt": user}, document),
            SimpleCodec("openai.audio", "/v1/audio/translations", {"prompt": user}, document),
        )
    )
