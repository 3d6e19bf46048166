"""What is asked of policies and what they look like from outside. Shapes only; what happens to them is `policies`."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from sigmaguard_proxy.control.words import Prose, Reason, Slug

Json = dict[str, Any]


class PolicyOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new policy: `pack` in the pack schema (`extends: basic` and what differs)."""

    name: Slug
    pack: Json
    description: Prose = ""
    comment: Prose = ""


class VersionOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new version of a policy; it changes nothing until it is staged or promoted."""

    pack: Json
    comment: Prose = ""


class MoveOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a version is staged, promoted or taken back."""

    reason: Reason


class AssignmentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gives a tenant (`target` empty) or a route (`/v1/chat/completions`) a policy."""

    kind: Literal["tenant", "route"]
    policy: Slug
    target: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^(/[\x21-\x7e]*)?$")] = ""


class PolicySummary(msgspec.Struct, frozen=True):
    """A policy: which version is in force, which is on trial, which is the newest."""

    name: str
    description: str
    shipped: bool
    active: int | None
    staged: int | None
    latest: int
    created_at: datetime | None
    version: int


class PolicyVersion(msgspec.Struct, frozen=True):
    """One version; it never changes."""

    policy: str
    number: int
    pack: Json
    revision: str
    comment: str
    author: str
    created_at: datetime


class PolicyMove(msgspec.Struct, frozen=True):
    """One change of what is in force."""

    id: str
    policy: str
    move: str
    number: int | None
    previous: int | None
    reason: str
    changed_by: str
    changed_at: datetime


class FieldChange(msgspec.Struct, frozen=True):
    """One field that differs; null where it is absent."""

    at: str
    before: Any
    after: Any


class PolicyDiff(msgspec.Struct, frozen=True):
    """What changes from one version to another, everything they extend merged in; `text` is a unified diff."""

    before: str
    after: str
    changes: tuple[FieldChange, ...]
    text: str


class Trials(msgspec.Struct, frozen=True):
    """How often the staged version would have done `would` where the one in force did `acted`."""

    number: int
    acted: str
    would: str
    rule: str
    exchanges: int
    example: str


class Assignment(msgspec.Struct, frozen=True):
    """Which policy a tenant or route runs."""

    kind: str
    target: str
    policy: str
    changed_by: str
    changed_at: datetime
