"""Judges the URLs of a text: where they lead and what they carry. Knows its checks, not what is done about them.

Which check makes which finding, with what score and for whose text, is written in `rules/urls.yaml`.
What it cannot do: fetch anything. A harmless-looking host that redirects is only found by a list.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from urllib.parse import unquote

import ada_url
import msgspec

from sigmaguard.detector import Cost, Passage
from sigmaguard.detectors import url_hosts, url_payload
from sigmaguard.detectors.url_finding import Place, Url, outlines, unfinished, urls
from sigmaguard.detectors.url_lists import UrlList
from sigmaguard.errors import ConfigError
from sigmaguard.fold import is_guess
from sigmaguard.model import Finding, Origin
from sigmaguard.policy.pack import Rule
from sigmaguard.prefilter import prefilter
from sigmaguard.reading import Reading

TAGS = ("OWASP:LLM05:2025",)
DENIED_FOR_TESTS = "denied.sigmaguard.invalid"  # always on the deny list, so that anyone can see it at work
_CODE = 1  # raise when the same rules could give another answer
_WEB = frozenset({"http", "https", "ftp", "ws", "wss"})
_ACTIVE_DATA = ("text/html", "image/svg", "application/xhtml", "text/javascript", "application/javascript", "text/xml")

_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}", re.IGNORECASE)

Check = Callable[["UrlsDetector", Url], float]


class UrlsDetector:
    """The checks over every URL of a text. Immutable, so any number of threads may share it."""

    name = "urls"
    cost = Cost.INLINE

    def __init__(self, rules: Sequence[Rule], deny: UrlList, allow: UrlList, brands: Sequence[str]) -> None:
        self.deny = deny
        self.allow = allow
        self.names = url_hosts.Names((*url_hosts.BRANDS, *brands, *allow.names))
        self._bare = len(deny) > 1
        self._prefilter = prefilter(outlines(bare=self._bare))
        self.rules = _by_origin(rules)
        lists = (len(deny), len(allow), deny.names, allow.names, tuple(brands))
        self.version = sha256(msgspec.json.encode((_CODE, tuple(rules), lists))).hexdigest()[:12]

    def detect(self, passages: Sequence[Passage]) -> list[list[Finding]]:
        """Findings for each passage, in order."""
        return [self._look(passage) for passage in passages]

    def hold(self, text: str) -> int:
        """Code point from which a URL could begin or still grow."""
        return unfinished(text)

    def _look(self, passage: Passage) -> list[Finding]:
        rules = self.rules[passage.segment.origin]
        found: dict[tuple[str, int], Finding] = {}
        for reading in passage.readings:
            if self._prefilter.seen(reading.text) == [] or is_guess(reading):
                continue
            for url in urls(reading.text, bare=self._bare):
                for check, score in self.judge(url):
                    _add(found, rules.get(check, ()), score, url, reading)
        return list(found.values())

    def judge(self, url: Url, *, followed: bool = False) -> Iterator[tuple[str, float]]:
        """The checks a URL fails and how surely (0..1)."""
        if self.deny.has_host(url.host) or self.deny.has_url(url.href):
            yield "denied", 1.0
        if url.place is Place.BARE:  # `file.name` and `1.2.3.4` are written like hosts
            return
        if url.host and self.allow.has_host(url.host) and not url.userinfo()[0]:
            return
        for name, check in CHECKS.items():
            score = check(self, url)
            if score:
                yield name, score
        if url.scheme in _WEB and not followed:
            yield from self._redirects(url)

    def _redirects(self, url: Url) -> Iterator[tuple[str, float]]:
        for target in url_payload.leads_to(url):
            try:
                led = Url(target, 0, ada_url.URL(target), Place.PLAIN)
            except ValueError:
                continue
            if self.names.registrable(led.host) != self.names.registrable(url.host):
                yield "redirect", 1.0
                yield from self.judge(led, followed=True)


def _userinfo(_: UrlsDetector, url: Url) -> float:
    user, password = url.userinfo()
    if not user or url.scheme not in _WEB:
        return 0.0
    # `https://bank.example@evil.example` shows one host and goes to another; `anna.b:secret@` are credentials
    pretends = _HOST.fullmatch(unquote(user)) and (not password or password.isdigit())
    return 1.0 if pretends else 0.5


def _lookalike(detector: UrlsDetector, url: Url) -> float:
    if url.scheme not in _WEB or url_hosts.address(url.host):
        return 0.0
    return detector.names.lookalike(url.host)


def _obfuscated(_: UrlsDetector, url: Url) -> float:
    if url.scheme not in _WEB or not url_hosts.is_ipv4(url.host):
        return 0.0
    return float(url_hosts.is_obfuscated(url.host, url.written_host()))


def _raw_address(_: UrlsDetector, url: Url) -> float:
    address = url_hosts.address(url.host) if url.scheme in _WEB else None
    return float(address is not None and not url_hosts.is_private(url.host, address))


def _metadata(_: UrlsDetector, url: Url) -> float:
    return float(url.scheme in _WEB and url_hosts.is_metadata(url.host, url_hosts.address(url.host)))


def _private(_: UrlsDetector, url: Url) -> float:
    if url.scheme not in _WEB:
        return 0.0
    address = url_hosts.address(url.host)
    return float(url_hosts.is_private(url.host, address) and not url_hosts.is_metadata(url.host, address))


def _file(_: UrlsDetector, url: Url) -> float:
    return float(url.scheme == "file")


def _script(_: UrlsDetector, url: Url) -> float:
    if url.scheme not in {"javascript", "vbscript"} or not url.path.strip():
        return 0.0
    return 0.4 if url.place is Place.PLAIN else 1.0


def _data(_: UrlsDetector, url: Url) -> float:
    if url.scheme != "data" or not url.path.lower().lstrip().startswith(_ACTIVE_DATA):
        return 0.0
    return 0.5 if url.place is Place.PLAIN else 1.0


def _shortener(detector: UrlsDetector, url: Url) -> float:
    return float(url.scheme in _WEB and url.host.removeprefix("www.") in url_hosts.SHORTENERS)


def _image_exfiltration(_: UrlsDetector, url: Url) -> float:
    return float(url.place is Place.IMAGE and url.scheme in _WEB and url_payload.carries_data(url))


def _link_exfiltration(_: UrlsDetector, url: Url) -> float:
    return float(url.place is Place.LINK and url.scheme in _WEB and url_payload.carries_data(url))


CHECKS: Mapping[str, Check] = {
    "userinfo": _userinfo,
    "lookalike": _lookalike,
    "obfuscated_address": _obfuscated,
    "raw_address": _raw_address,
    "metadata": _metadata,
    "private": _private,
    "file": _file,
    "script": _script,
    "data": _data,
    "shortener": _shortener,
    "image_exfiltration": _image_exfiltration,
    "link_exfiltration": _link_exfiltration,
}
_NAMES = frozenset({*CHECKS, "denied", "redirect"})


def _add(
    found: dict[tuple[str, int], Finding], rules: Sequence[Rule], score: float, url: Url, reading: Reading
) -> None:
    start, end = reading.source(url.start, url.end)
    for rule in rules:
        total = round(rule.score * score, 3)
        known = found.get((rule.id, start))
        # another reading sees the same URL again, often shorter: the first one counts
        if known is None or known.score < total:
            tags = rule.tags or TAGS
            found[rule.id, start] = Finding(
                rule.id, "urls", start, end, total, entity=rule.entity or "URL", view=reading.kind, tags=tags
            )


def _by_origin(rules: Sequence[Rule]) -> dict[Origin, dict[str, list[Rule]]]:
    table: dict[Origin, dict[str, list[Rule]]] = {origin: {} for origin in Origin}
    for rule in rules:
        if rule.check not in _NAMES:
            raise ConfigError(f"rule `{rule.id}`: `check` is one of {', '.join(sorted(_NAMES))}, not `{rule.check}`")
        for origin in rule.origins or tuple(Origin):
            table[origin].setdefault(rule.check, []).append(rule)
    return table


def _texts(options: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = options.get(name, ())
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise ConfigError(f"options.{name}: give a list of texts")


def build(options: dict[str, object], rules: Sequence[Rule]) -> UrlsDetector:
    """The detector. Options: `deny` and `allow` (hosts, URLs or paths of lists), `brands` (hosts to protect).

    Raises ConfigError.
    """
    unknown = options.keys() - {"deny", "allow", "brands"}
    if unknown:
        raise ConfigError(f"options.{min(unknown)}: `urls` has the options deny, allow and brands")
    return UrlsDetector(
        rules,
        UrlList((DENIED_FOR_TESTS, *_texts(options, "deny")), "options.deny"),
        UrlList(_texts(options, "allow"), "options.allow"),
        _texts(options, "brands"),
    )
