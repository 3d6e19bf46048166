"""Whether a URL carries conversation out or leads on to another: reads its path, query and fragment."""

import re
from urllib.parse import unquote_plus

from sigmaguard.decoding import runs
from sigmaguard.detectors.url_finding import Url

_REDIRECTS = frozenset(
    {
        "url", "u", "uri", "redirect", "redirect_uri", "redirect_url", "redir", "return", "return_to", "returnurl",
        "return_url", "next", "goto", "go", "to", "target", "dest", "destination", "continue", "out", "link",
        "view", "forward", "callback", "q",
    }
)  # fmt: skip
# Parameters of signed and tracked links: long, but made by the server that gets them
_OWN = re.compile(
    r"^(?:x-(?:amz|goog|ms)-.*|sig|signature|token|access_token|jwt|expires|policy|key-pair-id|awsaccesskeyid|hmac|hash"
    r"|utm_.*|fbclid|gclid|v|id|ver|etag|style|logo.*|color|label|font.*|size|width|height|w|h|format|fit|crop|dpr|auto"
    r"|alt|title|caption)$"
)
_TEMPLATE = re.compile(
    r"(?:\{|<|\[|%7b|%3c|%5b)[\s\w%$.-]{0,60}?(?:data|history|conversation|chat|secret|key|summary|prompt|message|password"
    r"|user|content|answer|token|info|base64|context|text|memory|email)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{2,}")
LEAST_WORDS = 5  # words in one value: captions and searches have fewer, stolen sentences more
LEAST_LETTERS = 12  # letters of a value that was encoded and turns out to be legible


def carries_data(url: Url) -> bool:
    """Whether a URL waits to be filled with the conversation, or holds a sentence or an encoded text.

    What it cannot see: data that was encrypted, or cut into single words.
    """
    tail = f"{url.path}?{url.search}#{url.fragment}"
    if _TEMPLATE.search(tail):
        return True
    values = [value for name, value in _parameters(url) if not _OWN.match(name)]
    values += [part for part in url.path.split("/") if len(part) > 24]
    return any(_tells(value) for value in values)


def _parameters(url: Url) -> list[tuple[str, str]]:
    pairs = f"{url.search}&{url.fragment}".split("&")
    split = [pair.partition("=") for pair in pairs if pair]
    return [(name.lower(), value) if equals else ("", name) for name, equals, value in split]


def _tells(value: str) -> bool:
    plain = unquote_plus(value)
    # words joined by other signs are names: `code style-black-000000.svg`
    if sum(_WORD.search(word) is not None for word in plain.split()) >= LEAST_WORDS:
        return True
    if len(plain) < 16:
        return False
    return any(
        run.kind in {"base64", "base32", "hex"} and len(_WORD.findall(run.text)) >= 2 and _is_prose(run.text)
        for run in runs(plain, plain.encode("ascii", "replace"))
    )


def _is_prose(text: str) -> bool:
    """Mostly letters, and no address: image proxies encode the address they fetch from."""
    count = sum(char.isalpha() or char == " " for char in text)
    return count >= LEAST_LETTERS and count * 4 >= len(text) * 3 and not re.match(r"(?:https?:)?//\S+\Z", text)


def leads_to(url: Url) -> list[str]:
    """The absolute URLs that a redirect parameter of this URL names."""
    found: list[str] = []
    if not url.search and not url.fragment:
        return found
    for name, value in _parameters(url):
        target = unquote_plus(value)
        if name in _REDIRECTS and re.match(r"(?:https?:)?[/\\]{2}[^/]", target, re.IGNORECASE):
            found.append(target if ":" in target[:7] else f"http:{target}")
    return found
