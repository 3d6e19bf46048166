"""The shape of a policy pack and of a rule file, as YAML. Knows the schema, not what it means."""

from typing import Annotated, Literal

import msgspec

from sigmaguard.actions.config import ToolsConfig
from sigmaguard.model import Action, OnFault, Origin, Timing

# A number out of range would switch a protection off without a word: a threshold of 7 drops every finding.
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Milliseconds = Annotated[float, msgspec.Meta(gt=0.0, le=600_000.0)]  # ten minutes: longer than any caller waits
Size = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
Kept = Annotated[int, msgspec.Meta(ge=0, le=32)]  # at most a third of a value stays anyway
Bits = Annotated[float, msgspec.Meta(ge=0.0, le=21.0)]  # a character has 1,114,112 code points to choose from


# Of endpoints without a codec: bodies read by their looks, let through unseen, or turned away
UnknownEndpoints = Literal["inspect", "pass", "refuse"]


class ActionByDirection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action for what goes in and one for what comes out."""

    input: Action = Action.FLAG
    output: Action = Action.FLAG


class DetectorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one detector runs under a pack.

    `action` is for its findings where no rule says otherwise. `threshold` drops weaker findings
    (score 0..1). `origins` empty means the detector's own. `directions` where it looks.
    `timing: parallel` lets the request leave while the detector still works; only a detector that
    neither masks nor guards what must not leave may do that. `options` belong to the detector and
    are checked by it.
    """

    enabled: bool = True
    action: Action | ActionByDirection = Action.FLAG
    threshold: Share = 0.0
    timing: Timing = Timing.BEFORE
    origins: tuple[Origin, ...] = ()
    directions: tuple[Literal["input", "output"], ...] = ("input", "output")
    on_fault: OnFault | None = None
    options: dict[str, object] = {}


class RuleOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pack changes about one rule (`leak.github_token`) or family (`leak.*`)."""

    action: Action | ActionByDirection | None = None
    threshold: Share | None = None
    enabled: bool = True


class MaskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How values of one entity are masked.

    `placeholder` is reversible (`<EMAIL_1>`, restored to its sender), `redact` leaves `[EMAIL]`,
    `replace` puts `text`, `hash` a keyed digest, `partial` keeps the last `keep` characters,
    `synthetic` another value of the same shape, restored as well; `block` refuses the exchange where
    the value would have been masked.
    """

    operator: Literal["placeholder", "redact", "replace", "hash", "partial", "synthetic", "block"] = "placeholder"
    text: str = ""
    keep: Kept = 4


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes beyond which an exchange is refused."""

    request_bytes: Size = 32 * 1024 * 1024
    response_bytes: Size = 64 * 1024 * 1024
    segments: Size = 20_000
    hold_chars: Size = 1_048_576


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack's own proof: this text must end in this action."""

    text: str
    action: Action
    origin: Origin = Origin.USER
    direction: Literal["input", "output"] = "input"
    rule: str = ""


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A policy as written. `extends` names another pack whose fields it changes key by key.

    `budget_ms` is what a pooled detector may take for each 4,000 code points begun. `masks` is keyed by
    entity (`EMAIL`) or `*`. `rule_files` are read beside the pack, added to the
    shipped ones; `custom_rules` are the same, written in place. `unknown_endpoints` is for those without a
    codec: `inspect` reads any JSON, form or text, `pass` lets them through unseen, `refuse` turns them away.
    """

    name: str
    description: str = ""
    extends: str | None = None
    budget_ms: Milliseconds = 250.0
    on_fault: OnFault = OnFault.CLOSED
    unknown_endpoints: UnknownEndpoints = "inspect"
    unknown_fields: Literal["pass", "refuse"] = "pass"
    limits: Limits = Limits()
    detectors: dict[str, DetectorConfig] = {}
    rules: dict[str, RuleOverride] = {}
    masks: dict[str, MaskConfig] = {}
    rule_files: tuple[str, ...] = ()
    custom_rules: tuple["RuleFile", ...] = ()
    tools: ToolsConfig = ToolsConfig()
    cases: tuple[Case, ...] = ()


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of a rule file, with its proof.

    `id` is `family.name`. `keywords` are literal strings of which one must occur for `pattern` to
    be tried (case-insensitive); `pattern` a Python regular expression whose group `value`, where
    there is one, is the finding's span. `entropy` is the least Shannon entropy (bits a character)
    of the value. `check` names a validity check the detector knows (`github_crc`, `jwt`, `luhn`,
    `pem`, ...). `allow` are literal values that are documented examples. `provenance` says where
    the format is documented (a name or title). `max_chars` bounds a finding's length for streams.
    """

    id: str
    description: str
    match: tuple[str, ...]
    miss: tuple[str, ...]
    keywords: tuple[str, ...] = ()
    pattern: str = ""
    entity: str = ""
    score: Share = 1.0
    entropy: Bits = 0.0
    check: str = ""
    allow: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    lang: str = ""
    origins: tuple[Origin, ...] = ()
    provenance: str = ""
    max_chars: Size = 512


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rules for one detector."""

    detector: str
    rules: tuple[Rule, ...]
    description: str = ""
    tags: tuple[str, ...] = ()
