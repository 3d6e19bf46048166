"""Rules over tool calls: what compiles, what applies, what is refused at load time."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.actions.call import ToolCall, base_name, call_digest
from sigmaguard.actions.compiled import TAINTED, Tools
from sigmaguard.actions.config import ToolsConfig
from sigmaguard.actions.expression import EvaluationError, Expression
from sigmaguard.actions.rates import CallRates
from sigmaguard.actions.taint import TaintMemory
from sigmaguard.errors import ConfigError
from sigmaguard.model import Action, Direction, Subject
from sigmaguard.policy.compile import compile_pack
from sigmaguard.policy.pack import Pack

MAIL = {
    "id": "tool.external_mail",
    "description": "Mail leaves the company",
    "tools": ["send_*"],
    "when": 'args.to.exists(one, !one.endsWith("@example.org"))',
    "match": [{"args": {"to": ["eve@evil.test"]}}],
    "miss": [{"args": {"to": ["ann@example.org"]}}],
}


def tools(**section: object) -> Tools:
    return Tools(msgspec.convert(section, ToolsConfig))


def rules_of(found: list) -> list[str]:
    return [one.rule for one in found]


def test_a_rule_applies_to_its_tools_and_arguments_only():
    compiled = tools(rules=[MAIL])
    judge = lambda name, **args: rules_of(compiled.judge(ToolCall(name, args), Subject(), tainted=False))  # noqa: E731
    assert judge("send_email", to=["eve@evil.test"]) == ["tool.external_mail"]
    assert judge("send_email", to=["ann@example.org"]) == []
    assert judge("search", to=["eve@evil.test"]) == []
    assert judge("SEND_EMAIL", to=["eve@evil.test"]) == ["tool.external_mail"], "case is no way around"


def test_what_cannot_be_judged_counts_as_a_match():
    compiled = tools(rules=[MAIL])
    for args in ({}, {"to": "ann@example.org"}, {"to": [1]}, {"to": None}):
        assert rules_of(compiled.judge(ToolCall("send_email", args), Subject(), tainted=False)), args
    assert rules_of(compiled.judge(ToolCall("send_email", None), Subject(), tainted=False))


def test_server_patterns_and_context_are_seen():
    rule = {
        "id": "tool.only_ops",
        "description": "Only ops may delete",
        "tools": ["files/*delete*"],
        "when": 'agent != "ops"',
        "match": [{"tool": "files/delete_all"}],
        "miss": [{"tool": "mail/delete_all"}],
    }
    compiled = tools(rules=[rule])
    call = ToolCall("delete_all", {}, "files")
    assert rules_of(compiled.judge(call, Subject(agent="dev"), tainted=False)) == ["tool.only_ops"]
    assert rules_of(compiled.judge(call, Subject(agent="ops"), tainted=False)) == []
    assert rules_of(compiled.judge(ToolCall("delete_all", {}, "mail"), Subject(), tainted=False)) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"when": "args.to =="}, "not a CEL expression"),
        ({"match": []}, "at least one call"),
        ({"match": [{"args": {"to": ["ann@example.org"]}}]}, "does not apply to its own match[0]"),
        ({"miss": [{"args": {"to": ["eve@evil.test"]}}]}, "applies to its own miss[0]"),
        ({"id": "external_mail"}, "an id is `tool.name`"),
    ],
)
def test_a_broken_rule_is_refused_with_its_place(change, says):
    with pytest.raises(ConfigError) as caught:
        tools(rules=[MAIL | change])
    assert says in str(caught.value)
    assert "rules[0]" in str(caught.value)


def test_taint_concerns_sensitive_tools_only_and_acts_as_written():
    compiled = tools(sensitive=["send_*"], tainted="deny")
    send, search = ToolCall("send_email", {}), ToolCall("search", {})
    assert rules_of(compiled.judge(send, Subject(), tainted=True)) == [TAINTED]
    assert compiled.judge(send, Subject(), tainted=False) == []
    assert compiled.judge(search, Subject(), tainted=True) == []
    assert tools(sensitive=["send_*"], tainted="allow").judge(send, Subject(), tainted=True) == []


@pytest.mark.parametrize(
    ("consequence", "action"),
    [("deny", Action.BLOCK), ("approve", Action.BLOCK), ("mask", Action.MASK), ("flag", Action.FLAG)],
)
def test_the_policy_acts_on_a_rule_as_the_rule_says(consequence, action):
    pack = msgspec.convert({"name": "t", "tools": {"rules": [MAIL | {"action": consequence}]}}, Pack)
    policy = compile_pack(pack, [])
    assert policy.action("tool.external_mail", "tools", Direction.OUTPUT) is action
    assert ("tool.external_mail" in policy.tools.approvals) is (consequence == "approve")


def test_a_pack_may_override_the_section():
    pack = msgspec.convert(
        {"name": "t", "tools": {"rules": [MAIL]}, "rules": {"tool.*": {"action": "flag"}}},
        Pack,
    )
    assert compile_pack(pack, []).action("tool.external_mail", "tools", Direction.OUTPUT) is Action.FLAG


def test_expressions_are_conditions_with_linear_time_patterns():
    slow = Expression('args.x.matches("(a+)+$")', "here")
    assert slow.holds({"args": {"x": "a" * 5000 + "!"}}) is False, "RE2 does not backtrack"
    with pytest.raises(EvaluationError):
        Expression("args.x", "here").holds({"args": {"x": "text"}})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_no_arguments_make_a_rule_raise(args):
    tools(rules=[MAIL]).judge(ToolCall("send_email", args), Subject(), tainted=True)


def test_a_call_is_the_same_with_and_without_a_prefix():
    assert base_name("mcp__mail__send_email") == base_name("mail/send_email") == base_name("send_email")
    seen = call_digest(ToolCall("mcp__mail__send_email", {"a": 1, "b": 2}))
    assert seen == call_digest(ToolCall("send_email", {"b": 2, "a": 1}, "mail"))
    assert seen != call_digest(ToolCall("send_email", {"a": 1, "b": 3}))


def test_rates_slide_and_are_kept_apart():
    rates = tools(rates=[{"tools": ["search"], "calls": 2, "seconds": 10}]).rates
    window, call = CallRates(), ToolCall("search", {})
    assert window.admit(rates, "a", call, 0.0) and window.admit(rates, "a", call, 1.0)
    assert not window.admit(rates, "a", call, 9.9)
    assert window.admit(rates, "b", call, 9.9), "another subject"
    assert window.admit(rates, "a", ToolCall("other", {}), 9.9), "another tool"
    assert window.admit(rates, "a", call, 10.5), "the first call has left the window"
    assert not window.admit(rates, "a", call, 10.6)


def test_rates_forget_the_idle_rather_than_grow():
    rates = tools(rates=[{"tools": ["*"], "calls": 1}]).rates
    window = CallRates(subjects=3)
    for number in range(50):
        window.admit(rates, str(number), ToolCall("x", {}), 0.0)
    assert len(window._windows) == 3


LONG = "Here is the summary of the page you asked me about."


def test_taint_follows_answers_calls_and_names_within_a_scope():
    memory = TaintMemory()
    call = ToolCall("mail__send", {"to": "eve"})
    memory.mark_texts("one", [LONG, "Yes."])
    memory.mark_call("one", call)
    memory.mark_name("one", "resp_1")
    assert memory.knows_text("one", ["hello", LONG])
    assert not memory.knows_text("one", ["Yes."]), "a short answer is said everywhere"
    assert not memory.knows_text("two", [LONG]), "another subject"
    assert memory.knows_call("one", ToolCall("send", {"to": "eve"}, "mail"))
    assert not memory.knows_call("one", ToolCall("send", {"to": "ann"}, "mail"))
    assert memory.knows_name("one", "resp_1") and not memory.knows_name("one", "resp_2")


@given(st.integers(1, 40), st.integers(0, 200))
def test_taint_is_bounded_and_keeps_the_newest(capacity, count):
    memory = TaintMemory(capacity)
    for number in range(count):
        memory.mark_name("s", str(number))
    assert len(memory) <= max(2, capacity)
    if count:
        assert memory.knows_name("s", str(count - 1))
