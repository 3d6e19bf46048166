"""What a host is: an address in disguise, a private or metadata address, a look-alike of a known name."""

import ipaddress
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import ada_url
import tldextract

from sigmaguard.injection.fold import fold

# Registrable names that phishing imitates most (yearly brand-phishing reports of several mail and DNS providers)
BRANDS = (
    "paypal.com", "google.com", "microsoft.com", "microsoftonline.com", "apple.com", "icloud.com", "amazon.com",
    "facebook.com", "instagram.com", "whatsapp.com", "linkedin.com", "netflix.com", "github.com", "gitlab.com",
    "dropbox.com", "docusign.com", "adobe.com", "office.com", "outlook.com", "live.com", "yahoo.com", "gmail.com",
    "openai.com", "chatgpt.com", "anthropic.com", "huggingface.co", "coinbase.com", "binance.com", "kraken.com",
    "metamask.io", "blockchain.com", "stripe.com", "wise.com", "revolut.com", "klarna.com", "visa.com",
    "mastercard.com", "americanexpress.com", "chase.com", "wellsfargo.com", "bankofamerica.com", "hsbc.com",
    "santander.com", "deutsche-bank.de", "commerzbank.de", "sparkasse.de", "postbank.de", "comdirect.de", "ing.de",
    "dkb.de", "volksbank.de", "telekom.de", "vodafone.com", "web.de", "gmx.net", "ebay.com", "dhl.com", "dhl.de",
    "ups.com", "fedex.com", "usps.com", "booking.com", "airbnb.com", "spotify.com", "steamcommunity.com",
    "roblox.com", "twitter.com", "telegram.org", "discord.com", "slack.com", "zoom.us", "salesforce.com", "okta.com",
    "cloudflare.com", "docker.com",
)  # fmt: skip

SHORTENERS = frozenset(
    {
        "bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd", "buff.ly", "rebrand.ly", "cutt.ly", "rb.gy",
        "shorturl.at", "t.ly", "tiny.cc", "bl.ink", "lnkd.in", "s.id", "v.gd", "adf.ly", "bit.do", "soo.gd",
        "clck.ru", "qr.ae", "short.io", "shorte.st", "urlz.fr", "x.co", "u.to", "surl.li", "dub.sh", "tny.im",
        "t.me", "trib.al", "kutt.it", "0rz.tw",
    }
)  # fmt: skip

METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(one)
    for one in ("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
PRIVATE_NAMES = (".localhost", ".local", ".internal", ".intranet", ".corp", ".lan", ".home.arpa", ".localdomain")
# Public names that resolve to whatever private address they carry in them
POINTING = (".nip.io", ".sslip.io", ".xip.io", ".localtest.me", ".lvh.me", ".vcap.me")

CACHED = 8_192  # hosts whose look is remembered
_DIGITS = str.maketrans("0135", "oles")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address(host: str) -> Address | None:
    """The IP address a host is, IPv4 inside IPv6 taken out; None for a name."""
    if not (host[-1:].isdigit() or host.endswith("]")):
        return None
    try:
        found = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found.sixtofour or found
    return found


def is_metadata(host: str, found: Address | None) -> bool:
    """Whether a host is a cloud's instance-metadata service."""
    return found in METADATA_ADDRESSES if found else host in METADATA_HOSTS


def is_private(host: str, found: Address | None) -> bool:
    """Whether a host is this machine or inside a private network."""
    if found:
        return not found.is_global or found.is_multicast
    return host == "localhost" or host.endswith(PRIVATE_NAMES) or host.endswith(POINTING)


def is_obfuscated(host: str, written: str) -> bool:
    """Whether an IPv4 address was written so that people do not see it: decimal, octal, hex, short, percent-encoded."""
    return is_ipv4(host) and written.strip().rstrip(".") != host


def is_ipv4(host: str) -> bool:
    """Whether a host, as browsers normalise it, is an IPv4 address."""
    return host.replace(".", "").isdigit()


def skeleton(label: str) -> str:
    """What a label looks like: look-alike letters and digits replaced, marks off, doubled letters once."""
    # look-alikes are only replaced in words that could be Latin; an `o` in front of the word says that it is meant so
    folded = fold("o" + label).text[1:].lower()
    plain = "".join(char for char in unicodedata.normalize("NFD", folded) if not unicodedata.combining(char))
    plain = plain.translate(_DIGITS).replace("rn", "m").replace("vv", "w").replace("i", "l").replace("-", "")
    return "".join(char for at, char in enumerate(plain) if at == 0 or plain[at - 1] != char)


def mixes_scripts(label: str) -> bool:
    """Whether a label mixes Latin with a script that has look-alikes of Latin letters."""
    seen = {
        script
        for char in label
        if char.isalpha()
        for script in _SCRIPTS
        if unicodedata.name(char, "").startswith(script)
    }
    return len(seen) > 1


class Names:
    """Known names and how to tell hosts that only look like them."""

    def __init__(self, domains: Iterable[str]) -> None:
        # the list of public suffixes that comes with the library; it never goes to the network
        self._extract = tldextract.TLDExtract(
            suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True
        ).extract_str
        # How surely (0..1) a host pretends to be a known name that it is not; the same few hosts come again and again
        self.lookalike: Callable[[str], float] = lru_cache(CACHED)(self._lookalike)
        known: dict[str, set[str]] = {}
        for domain in domains:
            core = self._extract(domain).domain
            if core:
                known.setdefault(core, set()).add(domain)
        self._known: Mapping[str, frozenset[str]] = {core: frozenset(found) for core, found in known.items()}
        # shorter skeletons are ordinary words too often (`zoom` and `zom`)
        self._looks = {look: core for core in known if len(look := skeleton(core)) >= 4}

    def registrable(self, host: str) -> str:
        """The part of a host that someone registered; the last two labels where its suffix is unknown."""
        parts = self._extract(host)
        if parts.suffix and parts.domain:
            return f"{parts.domain}.{parts.suffix}"
        return host if address(host) else ".".join(host.split(".")[-2:])

    def _lookalike(self, host: str) -> float:
        shown = to_unicode(host)
        parts = self._extract(host)
        core = to_unicode(parts.domain)
        if core in self._known:  # the name itself, perhaps under another country's suffix
            return 0.0
        known = self._looks.get(skeleton(core))
        if known is not None:
            return 0.9
        if any(mixes_scripts(label) for label in shown.split(".")):
            return 0.8
        return self._inside(parts.subdomain)

    def _inside(self, subdomain: str) -> float:
        labels = subdomain.split(".")
        for at, label in enumerate(labels[:-1]):
            for domain in self._known.get(label, ()):
                if labels[at : at + domain.count(".") + 1] == domain.split("."):
                    return 0.8
        return 0.0


def to_unicode(host: str) -> str:
    """A host as browsers show it: punycode labels decoded where they can be."""
    if "xn--" not in host:
        return host
    return ada_url.idna_to_unicode(host)
