"""Where a path leads: names, protocols, and the first provider where nothing else fits."""

import pytest

from sigmaguard_proxy.upstreams import Upstreams

BOTH = {"openai": "https://a", "groq": "https://b/openai", "anthropic": "https://c"}


@pytest.mark.parametrize(
    ("urls", "path", "anthropic", "expected"),
    [
        (BOTH, "/v1/chat/completions", False, ("openai", "https://a", "/v1/chat/completions")),
        (BOTH, "/v1/messages", False, ("anthropic", "https://c", "/v1/messages")),
        (BOTH, "/v1/messages/count_tokens", False, ("anthropic", "https://c", "/v1/messages/count_tokens")),
        (BOTH, "/v1/models", True, ("anthropic", "https://c", "/v1/models")),
        (BOTH, "/groq/v1/chat/completions", False, ("groq", "https://b/openai", "/v1/chat/completions")),
        (BOTH, "/groq", False, ("openai", "https://a", "/groq")),
        (BOTH, "/unknown/v1/x", False, ("openai", "https://a", "/unknown/v1/x")),
        ({"demo": "http://d"}, "/v1/messages", True, ("demo", "http://d", "/v1/messages")),
        ({"anthropic": "http://c"}, "/v1/chat/completions", False, ("anthropic", "http://c", "/v1/chat/completions")),
        ({"groq": "http://b", "anthropic": "http://c"}, "/v1/x", False, ("groq", "http://b", "/v1/x")),
    ],
)
def test_where_a_path_leads(urls: dict[str, str], path: str, anthropic: bool, expected: tuple[str, str, str]) -> None:
    target = Upstreams(urls).target(path, anthropic=anthropic)
    assert (target.name, getattr(target.base, "url", target.base), target.path) == expected
