"""What looks like a value and is none: identifiers, hashes, timestamps, versions. Knows shapes of code."""

import re

_NEAR = 48
_TECHNICAL = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # UUID
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"  # RFC 3339
    r"|(?<![A-Za-z0-9])(?:0x)?(?=[0-9]*[a-f])[0-9a-f]{12,}(?![A-Za-z0-9])"  # hexadecimal of some length
    r"|(?<![A-Za-z0-9.])v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.-]+)(?![A-Za-z0-9])"  # a semantic version with a suffix
)
# the last is a product of RFC 9110, section 10.1.5: Chrome/122.0.0.0
_VERSION = re.compile(
    r"(?:\bv\s?|version(?:en|s)?\W{0,5}|release\W{0,5}|==|>=|<=|~=|@|(?<!/)\b(?-i:[A-Z])(?<!\bH(?=ost/))(?<!\bS(?=erver/))(?<!\bC(?=lient/))(?!P/|NS/|PC/)\w*/)\Z",
    re.IGNORECASE,
)

_REVISION = re.compile(r"[-+~]\d(?!\d{0,2}\.\d{1,3}\.\d{1,3}\.\d)")  # 1.2.5.1-2, but no range of addresses


def is_technical(text: str, start: int, end: int) -> bool:
    """Whether the span lies in something that only machines care for."""
    low = max(0, start - _NEAR)
    for match in _TECHNICAL.finditer(text, low, min(len(text), end + _NEAR)):
        if match.start() <= start and end <= match.end():
            return True
    return False


def is_version(text: str, start: int, end: int) -> bool:
    """Whether what stands here is called a version or has a revision: `1.2.3.4` is then no address."""
    return _VERSION.search(text, max(0, start - 24), start) is not None or _REVISION.match(text, end) is not None
