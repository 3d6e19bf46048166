"""Finding texts in a body by a table of fields. Every string is a segment unless a table declares it opaque.

A number of eleven digits and more may be a card: it is a segment too, and where it is masked a string stands in its
place, which a provider may refuse; the card itself would be no better an answer.

A field nobody knows is walked whole, so a provider's new field is inspected before we hear of it.
Opaque is what an identifier, an enum or binary data looks like: a text, a credential or words with underscores
under an opaque key, and base64 of text where a picture should be, are inspected all the same.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from sigmaguard.errors import WireError
from sigmaguard.model import Origin, Segment
from sigmaguard.wire.locate import key_pointer
from sigmaguard.wire.opaque import (
    LEAST_NUMBER,
    is_binary,
    is_long,
    is_model_name,
    is_name,
    is_sealed,
    is_word,
    number_text,
)
from sigmaguard.wire.pointer import KEY, escape

# Identifiers and enums: never text that a model reads as text.
OPAQUE_KEYS = frozenset(
    {
        *("id", "object", "type", "role", "model", "status", "finish_reason", "stop_reason", "index", "created"),
        *("created_at", "system_fingerprint", "service_tier", "encoding_format", "tool_call_id", "tool_use_id"),
        *("call_id", "item_id", "response_id", "previous_response_id", "file_id", "container_id", "vector_store_id"),
        *("encrypted_content", "signature", "media_type", "mime_type", "detail", "strict", "effort", "service"),
        *("cache_control", "modalities", "voice", "quality", "size", "format", "reasoning_effort", "verbosity"),
        *("tool_choice_type", "truncation", "include", "betas", "speed", "encrypted_index", "response_format_type"),
        *("stream", "obfuscation", "prompt_cache_retention", "output_format", "background", "moderation", "style"),
        *("response_format", "stream_format", "phase", "ttl", "syntax", "search_context_size"),
        "request_id",
        *("approval_request_id", "agent_id", "caller_id", "conversation_id", "project_id", "skill_id"),
    }
)
# Keys under which base64 of pictures, sound and files stands.
BINARY_KEYS = frozenset({"data", "file_data", "result", "audio", "b64_json", "partial_image_b64", "delta"})
# Ciphertext that only the provider reads: thousands of characters, and different each time.
SEALED_KEYS = frozenset({"encrypted_content", "encrypted_index", "signature", "obfuscation"})
# Log-probabilities repeat an answer's text token by token; where it is edited they are taken out (`clear_beside`).
# A caller can call anything so: in a request they are walked.
OPAQUE_TREES = frozenset({"logprobs"})
_NO_TREES: frozenset[str] = frozenset()
LEAST_BINARY = 256  # characters of base64 that are taken for a file; less is read as text
LONG_KEY = 16  # an object key of this length, or one that is no name, may be text somebody hid there
# Names that long which schemas and endpoints really use.
_NAMES = frozenset(
    {
        *("additionalProperties", "patternProperties", "unevaluatedProperties", "exclusiveMinimum"),
        *("exclusiveMaximum", "contentMediaType", "minContains", "maxContains", "dependentRequired"),
        *("parallel_tool_calls", "max_completion_tokens", "presence_penalty", "frequency_penalty"),
        *("prompt_tokens_details", "completion_tokens_details", "content_filter_results", "reasoning_details"),
        *("include_obfuscation", "structuredContent"),
        # of providers without a codec of their own: Gemini's and Ollama's
        *("systemInstruction", "system_instruction", "generationConfig", "generation_config", "responseMimeType"),
        *("functionDeclarations", "functionResponse", "functionCallingConfig", "promptTokenCount", "totalTokenCount"),
        *("candidatesTokenCount", "promptTokensDetails", "candidatesTokensDetails", "thoughtsTokenCount"),
        *("prompt_eval_count", "prompt_eval_duration"),
    }
    | OPAQUE_KEYS
)
_INDEX = 6  # digits of the longest array index; more of them in a pointer are a key
# What calls itself text is inspected whatever its bytes look like; of all else the bytes decide.
_TEXT_MEDIA = ("text/", "application/json", "application/xml", "application/javascript")


class Collector:
    """Collects the segments of one body; of a request nothing is left out for the tree it stands in."""

    __slots__ = ("_trees", "segments")

    def __init__(self, *, is_request: bool = False) -> None:
        self.segments: list[Segment] = []
        self._trees = _NO_TREES if is_request else OPAQUE_TREES

    def text(self, path: str, text: object, origin: Origin, role: str = "", message: str = "") -> None:
        """One string; anything else is walked."""
        if type(text) is str:
            if text and not is_binary_url(text):
                self.segments.append(Segment(path, origin, text, role, message))
        elif text is not None:
            self.walk(path, text, origin, role, message)

    def json_text(self, path: str, text: object, origin: Origin, role: str = "", message: str = "") -> None:
        """A string that is JSON source, such as tool-call arguments; an object is walked."""
        if type(text) is str:
            if text:
                self.segments.append(Segment(path, origin, text, role, message, True))
        elif text is not None:
            self.walk(path, text, origin, role, message, opaque=frozenset())

    def walk(
        self,
        path: str,
        value: Any,
        origin: Origin,
        role: str = "",
        message: str = "",
        opaque: frozenset[str] = OPAQUE_KEYS,
    ) -> None:
        """Every string below a value, except what is opaque. An empty `opaque` says that nothing is."""
        kind = type(value)
        if kind is str:
            if value and not (opaque and is_binary_url(value)):
                self.segments.append(Segment(path, origin, value, role, message))
        elif kind in _NUMBERS:
            if is_long(value):
                self.segments.append(Segment(path, origin, number_text(value), role, message))
        elif path.count("/") > DEEPEST:
            # bounded by us, not by however much stack the interpreter happens to have
            if kind is dict or kind is list:
                raise WireError("too_deep", f"the body is nested deeper than {DEEPEST} levels")
        elif kind is dict:
            self._object(path, value, origin, role, message, opaque)
        elif kind is list:
            for at, inner in enumerate(value):
                kind = type(inner)
                if kind in _WALKED or (kind in _NUMBERS and not -LEAST_NUMBER < inner < LEAST_NUMBER):
                    self.walk(f"{path}/{at}", inner, origin, role, message, opaque)

    def _object(
        self, path: str, value: dict[str, Any], origin: Origin, role: str, message: str, opaque: frozenset[str]
    ) -> None:
        for key, inner in value.items():
            kind = type(inner)
            if kind is str:
                if inner and not (opaque and is_opaque(key, inner, value, opaque)):
                    self.segments.append(Segment(f"{path}/{escape(key)}", origin, inner, role, message))
            elif (kind is dict or kind is list) and not (opaque and key in self._trees):
                self.walk(f"{path}/{escape(key)}", inner, origin, role, message, opaque)
            elif kind in _NUMBERS and is_long(inner):
                where = f"{path}/{escape(key)}"
                self.segments.append(Segment(where, origin, number_text(inner), role, message))
            if may_hide(key):
                self.segments.append(Segment(key_pointer(f"{path}/{escape(key)}"), origin, key, role, message))

    def rest(self, body: Mapping[str, Any], known: frozenset[str], origin: Origin = Origin.DOCUMENT) -> None:
        """Every top-level field that the codec's table does not name."""
        if body.keys() <= known:
            return
        self.walk("", {key: value for key, value in body.items() if key not in known}, origin)


DEEPEST = 200  # levels; JSON schemas in the wild stay under 40
_WALKED = frozenset({str, dict, list})
_NUMBERS = frozenset({int, float})


def is_opaque(key: str, text: str, beside: Mapping[str, Any], opaque: frozenset[str] = OPAQUE_KEYS) -> bool:
    """Whether a string is an identifier, an enum or binary data by its key and by its looks."""
    if key in opaque:
        if key in SEALED_KEYS:
            return is_sealed(text)
        return is_word(text) or (key == "model" and is_model_name(text))
    if key in BINARY_KEYS and len(text) >= LEAST_BINARY:
        media = beside.get("media_type", beside.get("mime_type"))
        if not (isinstance(media, str) and media.lower().startswith(_TEXT_MEDIA)) and is_binary(text):
            return True
    return is_binary_url(text)


def may_hide(key: str) -> bool:
    """Whether an object key could hold text rather than name a field."""
    return (len(key) >= LONG_KEY and key not in _NAMES) or not key.replace("-", "_").replace(".", "_").isidentifier()


def shown_pointer(path: str) -> str:
    """A pointer as logs, records and errors may tell it: a key that could hold text is `*`."""
    return "/".join([_shown(token) for token in path.split("/")])


def shown_name(name: str) -> str:
    """A model's or an agent's name, which callers choose, as logs, metrics and records may tell it.

    What looks like no name is told as a short digest: enough to see that two are the same.
    """
    if not name or is_name(name):
        return name
    return f"unnamed-{blake2b(name.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


def _shown(token: str) -> str:
    name, tail = (token.removesuffix(KEY), KEY) if token.endswith(KEY) else (token, "")
    if not name or (len(name) <= _INDEX and name.isascii() and name.isdecimal()):
        return token
    return "*" + tail if may_hide(name) else token


def is_binary_url(text: str) -> bool:
    """Whether a string is a data URL of a picture, sound or file, and nothing but that."""
    if not text.startswith("data:"):
        return False
    mark = text.find(";base64,", 5, 128)
    return mark > 0 and not text[5:mark].lower().startswith(_TEXT_MEDIA) and is_binary(text, mark + 8)
