"""Strings the admin API takes, with their bounds: one definition each, so that the schema and the checks agree."""

from typing import Annotated

import msgspec

_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
_SOME = r"^[^\x00-\x1f\x7f]+$"
# what `x-sigmaguard-agent` may say: exactly the names that settings can be stored under, in one segment of a path
AGENT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,63}$"

Slug = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$",
        description="Lower-case letters, digits, `-` and `_`; at most 63.",
        examples=["acme"],
    ),
]
AgentName = Annotated[str, msgspec.Meta(pattern=AGENT_NAME, max_length=64, examples=["support-bot"])]
Label = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
        min_length=1,
        max_length=200,
        description="More than blanks.",
        examples=["Support bot, production"],
    ),
]
Prose = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$", max_length=2_000)]
Reason = Annotated[
    str,
    msgspec.Meta(pattern=_SOME, min_length=1, max_length=500, description="Why; shown to everybody who may read it."),
]
Word = Annotated[str, msgspec.Meta(pattern=_SOME, min_length=1, max_length=200)]
Email = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,255}$", max_length=320, examples=["ada@example.org"]
    ),
]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern=_SOME)]
