"""Which codec serves a route. The one place that names every endpoint."""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from sigmaguard.model import Origin
from sigmaguard.wire.anthropic_messages import MessagesCodec
from sigmaguard.wire.codec import Codec
from sigmaguard.wire.generic import GenericCodec
from sigmaguard.wire.openai_chat import ChatCodec
from sigmaguard.wire.openai_responses import ResponsesCodec
from sigmaguard.wire.openai_simple import SimpleCodec

# Answers kept by the provider are read under their kind's route; batches of messages hold whole requests.
_BELOW = ("/v1/models/", "/v1/responses/", "/v1/chat/completions/", "/v1/messages/")
# Azure, Vertex and others serve these below paths of their own (`/openai/deployments/NAME/chat/completions`).
_ENDINGS = (
    *("/chat/completions", "/completions", "/responses", "/embeddings", "/moderations", "/v1/messages"),
    *("/images/generations", "/images/edits", "/audio/speech", "/audio/transcriptions", "/audio/translations"),
)
# Where some servers end a path's last name: a parameter, a query or fragment that was encoded, a zero byte
_NAME_END = re.compile(r"[;?#\0]")
_READING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})  # methods that carry no text to a model


class Routes:
    """Codecs by path. Another spelling of a path (slashes, dots, percent-encoding, case) is the same route."""

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self._by_path = {codec.endpoint: codec for codec in codecs}
        self._unknown = GenericCodec(), GenericCodec(anthropic=True)

    def find(self, method: str, path: str) -> Codec | None:
        """The codec of a route, None where the route is unknown."""
        return self._by_path.get(path) or self._find(method, plain_path(path))

    def unknown(self, *, anthropic: bool) -> Codec:
        """The codec for a route nobody knows; `anthropic` says in whose shape errors are told."""
        return self._unknown[anthropic]

    def _find(self, method: str, path: str) -> Codec | None:
        codec = self._by_path.get(path)
        if codec is not None:
            return codec
        for below in _BELOW:
            if path.startswith(below):
                return self._by_path[below[:-1]]
        if method not in _READING:
            for ending in _ENDINGS:
                if path.endswith(ending):
                    return self._by_path[ending if ending.startswith("/v1/") else "/v1" + ending]
        return None

    def all(self) -> Sequence[Codec]:
        """Every codec of a known route."""
        return self._codecs


def plain_path(path: str) -> str:
    """A path as a lenient server reads it: decoded twice, dot segments and doubled slashes gone, in lower case."""
    parts: list[str] = []
    for part in unquote(unquote(path)).replace("\\", "/").lower().split("/"):
        name = _NAME_END.split(part, 1)[0].strip()  # some servers cut spaces off, and dots behind a name
        if name == "..":
            parts = parts[:-1]
        elif name.strip("."):
            parts.append(name.rstrip(". "))
    return "/" + "/".join(parts)


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
