"""The `tools:` section of a policy pack, as written. Knows the schema, not what it means."""

from typing import Annotated, Literal

import msgspec

Consequence = Literal["allow", "flag", "mask", "approve", "deny"]
Wait = Annotated[float, msgspec.Meta(ge=0.0, le=2_678_400.0)]  # seconds; a month
Calls = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class ToolExample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that proves a rule. `tool` defaults to the rule's first pattern without its wildcards."""

    args: dict[str, object] = {}
    tool: str = ""
    tainted: bool = False


class ToolRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule over calls: `when` is a CEL expression that is true where the rule applies.

    It sees `tool` and `server` (strings), `args` (the call's arguments), `tenant` and `agent`
    (strings) and `tainted` (bool). `tools` are name patterns (`send_*`, `mail/send_*`), empty for
    every tool. `action` is what happens: `deny`, `approve` (a person decides), `mask` (the string
    arguments are withheld), `flag` or `allow`. An expression that cannot be evaluated, such as one
    that reads an argument which is not there, counts as true: guard optional ones with `has()`.
    """

    id: str
    description: str
    match: tuple[ToolExample, ...]
    miss: tuple[ToolExample, ...]
    tools: tuple[str, ...] = ()
    when: str = "true"
    action: Consequence = "deny"


class ToolRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `calls` calls in `seconds` of the tools a pattern names, for each subject."""

    tools: tuple[str, ...]
    calls: Calls
    seconds: Wait = 60.0


class ToolsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy says about actions.

    `sensitive` are the tools that `tainted` applies to: what happens to their calls once untrusted
    content has entered the conversation. `trusted` are tools whose results do not taint. `approval_s`
    is how long a call waits for a person; after that it is refused. `schema` and `definitions` say
    what happens where arguments do not fit the tool's own schema, and where a definition changed or
    takes another server's name. `hold_calls` are tools that always need a person.
    """

    sensitive: tuple[str, ...] = ()
    tainted: Consequence = "approve"
    trusted: tuple[str, ...] = ()
    approval_s: Wait = 120.0
    schema: Literal["flag", "deny"] = "deny"
    definitions: Literal["flag", "deny"] = "deny"
    rules: tuple[ToolRule, ...] = ()
    rates: tuple[ToolRate, ...] = ()
