"""Error bodies where no codec is known: OpenAI's shape, or Anthropic's for a caller that speaks it."""

from sigmaguard.wire import anthropic_shared, openai_shared
from sigmaguard.wire.codec import Refusal


def error_body(refusal: Refusal, *, anthropic: bool = False) -> bytes:
    """The refusal in the caller's own error shape."""
    return anthropic_shared.error_body(refusal) if anthropic else openai_shared.error_body(refusal)
