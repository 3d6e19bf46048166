"""Deny and allow lists of hosts and URLs, from files in the common formats. Reads files at load time only.

A list keeps eight bytes an entry, whatever its length: the 64-bit hash that this process gives the string
(SipHash with a secret seed), sorted. Three million hosts take 24 MB. A host that is in no list is taken for
one that is with probability entries / 2^64, that is 2e-13 for three million, and nobody outside the process
can choose such a host.
"""

import csv
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import ada_url
import numpy as np
from numpy.typing import NDArray

from sigmaguard.errors import ConfigError

_NOT_LISTED = frozenset(
    {"localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback"}
)
_FEW = 1_000


class Hashes:
    """A set of strings in eight bytes each; may err on the side of membership (see above)."""

    __slots__ = ("_few", "_sorted")

    def __init__(self, entries: Iterable[str]) -> None:
        self._sorted: NDArray[np.int64] = np.unique(np.fromiter(map(hash, entries), np.int64))
        # a call into numpy costs more than all the rest where the list is short
        self._few = frozenset(self._sorted.tolist()) if len(self._sorted) <= _FEW else None

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def nbytes(self) -> int:
        """Bytes of memory the set takes."""
        return self._sorted.nbytes

    def any_of(self, candidates: Sequence[str]) -> bool:
        """Whether any of a few strings is a member."""
        if self._few is not None:
            return not self._few.isdisjoint(map(hash, candidates))
        wanted = np.fromiter(map(hash, candidates), np.int64, len(candidates))
        at = np.searchsorted(self._sorted, wanted)
        return bool((self._sorted[np.minimum(at, len(self._sorted) - 1)] == wanted).any())


class UrlList:
    """Hosts (each with everything under it) and single URLs."""

    __slots__ = ("hosts", "names", "urls")

    def __init__(self, entries: Sequence[str], where: str) -> None:
        """Builds a list from entries: each a host, a URL, or the path of a file. Raises ConfigError."""
        urls: list[int] = []
        names: list[str] = []
        self.hosts = Hashes(_hosts(entries, where, urls, names))
        self.urls = frozenset(urls)
        self.names = tuple(names)

    def __len__(self) -> int:
        return len(self.hosts) + len(self.urls)

    def has_host(self, host: str) -> bool:
        """Whether a host or any domain above it is listed."""
        return len(self.hosts) > 0 and self.hosts.any_of(_above(host))

    def has_url(self, href: str) -> bool:
        """Whether exactly this URL is listed (scheme and fragment aside)."""
        return bool(self.urls) and hash(_bare(href)) in self.urls


def _above(host: str) -> list[str]:
    labels = host.split(".")[-12:]
    return [".".join(labels[at:]) for at in range(len(labels))]


def _bare(href: str) -> str:
    return href.partition("://")[2].partition("#")[0].rstrip("/")


def _hosts(entries: Sequence[str], where: str, urls: list[int], names: list[str]) -> Iterator[str]:
    for entry in entries:
        path = Path(entry)
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace", newline="") as lines:
                yield from _read(lines, urls)
            continue
        hosts = list(_read([entry], urls)) if "/" not in entry or "://" in entry else []
        if not hosts and "://" not in entry:
            raise ConfigError(
                f"{where}: `{entry}` is neither a file nor a host; give the path of a list or a host name"
            )
        names.extend(hosts)
        yield from hosts


def _read(lines: Iterable[str], urls: list[int]) -> Iterator[str]:
    """Every host of a file; single URLs go to `urls` as hashes. Unreadable lines are left out."""
    for line in lines:
        line = line.strip()
        if not line or line[0] in "#;!":
            continue
        if line[0] == '"':
            field = next((field for field in next(csv.reader([line])) if "://" in field), "")
            yield from _entry(field, urls)
        elif "://" in line:
            yield from _entry(line.split()[0].rstrip(","), urls)
        else:
            yield from _words(line.partition("#")[0].split())


def _words(words: Sequence[str]) -> Iterator[str]:
    """The hosts of a line: a hosts-file line begins with an address, others hold one host."""
    if not words:
        return
    if len(words) > 1 and _is_address(words[0]):
        for word in words[1:]:
            if word not in _NOT_LISTED:
                yield from _host(word)
    else:
        yield from _host(words[0])


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _host(word: str) -> Iterator[str]:
    """A host in the form URLs carry it (lower case, punycode); blockers write `*.host`, `.host` or `||host^`."""
    host = word.removeprefix("||").partition("^")[0].partition(",")[0].removeprefix("*").strip(".").lower()
    if not host.isascii():
        host = ada_url.idna_to_ascii(host).decode("ascii")
    if host and all(char.isalnum() or char in "-._:" for char in host):
        yield host


def _entry(text: str, urls: list[int]) -> Iterator[str]:
    try:
        url = ada_url.URL(text)
    except ValueError:
        return
    if url.pathname in {"", "/"} and not url.search:
        yield url.hostname
    else:
        urls.append(hash(_bare(url.href)))
