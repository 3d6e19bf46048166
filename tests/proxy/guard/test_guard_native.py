"""`/v1/guard`: what it says is what the proxy would do, and what it changes can be put back."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmaguard.model import Mode, Outcome, Subject
from sigmaguard.restore import Issued
from sigmaguard_proxy.guard.restoring import Kept, Sealer
from tests.guard_plane import CODE, RUMOUR, TICKET, GuardPlane, guard_plane, guard_policy

PATH = "/v1/guard"


def _texts(*texts: str, **more: Any) -> dict[str, Any]:
    return {"segments": [{"text": text} for text in texts], **more}


async def test_harmless_texts_pass_unchanged(guard: GuardPlane) -> None:
    status, said, headers = await guard.ask(PATH, _texts("hello", "how are you?"))
    assert status == 200
    assert (said["action"], said["intended"], said["rule"], said["findings"]) == ("allow", "allow", "", [])
    assert "segments" not in said and "restore" not in said
    assert said["outcomes"] == {"leaks": "clean"}
    assert headers["x-sigmaguard-exchange"] == said["exchange"] == guard.last().exchange
    assert guard.last().protocol == "guard.v1"


async def test_what_is_blocked_is_said_with_rule_and_place(guard: GuardPlane) -> None:
    status, said, headers = await guard.ask(PATH, _texts("hello", CODE))
    assert (status, said["action"], said["rule"]) == (200, "block", "leak.launch_code")
    assert said["exchange"] in said["message"] and "leak.launch_code" in said["message"]
    (finding,) = said["findings"]
    assert (finding["segment"], finding["path"], finding["direction"]) == (1, "/segments/1/text", "input")
    assert CODE[finding["start"] : finding["end"]] == "ABCDEF"
    assert headers["x-sigmaguard-verdict"] == "block"
    assert (guard.last().action, guard.last().rule) == ("block", "leak.launch_code")
    assert "ABCDEF" not in json.dumps(said)


async def test_what_is_masked_can_be_put_back_into_the_answer(guard: GuardPlane) -> None:
    _, said, _ = await guard.ask(PATH, _texts("hello", TICKET))
    assert said["action"] == "mask"
    masked = said["segments"][1]["text"]
    assert "123456" not in masked and "<TICKET_1>" in masked
    assert "123456" not in said["restore"]
    answer = {
        "direction": "output",
        "segments": [{"text": "closed <TICKET_1> and ticket_1"}],
        "restore": said["restore"],
    }
    _, back, _ = await guard.ask(PATH, answer)
    assert back["segments"][0]["text"] == "closed 123456 and ticket_1"
    assert back["action"] == "allow"
    # without the token, or with somebody else's, nothing comes back
    _, without, _ = await guard.ask(PATH, {**answer, "restore": ""})
    assert "segments" not in without
    status, wrong, _ = await guard.ask(PATH, {**answer, "restore": said["restore"][:-8] + "AAAAAAA="})
    assert (status, wrong["error"]["code"]) == (400, "bad_restore")


async def test_a_chat_is_read_as_the_proxy_reads_it(guard: GuardPlane) -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "close", "arguments": json.dumps({"t": "TICKET-123456"})},
    }
    chat = {
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": TICKET}, {"type": "text", "text": "and thanks"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "done with TICKET-123456"},
        ],
    }
    _, said, _ = await guard.ask(PATH, chat)
    assert said["action"] == "mask"
    assert "123456" not in json.dumps(said["messages"])
    arguments = said["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"t": "TICKET-<TICKET_1>"}
    assert {one["path"] for one in said["findings"]} >= {
        "/messages/1/content/0/text",
        "/messages/2/tool_calls/0/function/arguments",
        "/messages/3/content",
    }


async def test_a_key_that_may_hold_text_is_not_told_in_a_path(guard: GuardPlane) -> None:
    """Neither to whoever reads the answer's findings in a log, nor by the record."""
    part = {"type": "text", "text": "hello", "call Anna Smith at once": {"note": TICKET}}
    _, said, _ = await guard.ask(PATH, {"messages": [{"role": "user", "content": [part]}]})
    (finding,) = said["findings"]
    assert finding["path"] == "/messages/0/content/0/*/note"
    assert [one.path for one in guard.last().input_findings] == [finding["path"]]
    assert "Anna" not in json.dumps(said["findings"])


async def test_what_a_model_said_is_judged_as_output(guard: GuardPlane) -> None:
    _, said, _ = await guard.ask(PATH, _texts(TICKET, direction="output"))
    assert said["action"] == "mask" and said["segments"][0]["text"] == "please close TICKET-[TICKET] today"
    assert "restore" not in said  # nobody may restore what a model made up
    record = guard.last()
    assert record.output_findings and not record.input_findings


async def test_a_split_word_is_seen_over_two_texts_of_one_message(guard: GuardPlane) -> None:
    parts = [{"text": "fire LAUNCH-ABC", "message": "m1"}, {"text": "DEF now", "message": "m1"}]
    _, said, _ = await guard.ask(PATH, {"segments": parts})
    assert said["action"] == "block"


async def test_shadow_says_what_it_would_do_and_does_nothing(guard: GuardPlane) -> None:
    for text, intended in ((CODE, "block"), (TICKET, "mask"), (RUMOUR, "allow"), ("hello", "allow")):
        guard.directory.mode = Mode.ENFORCE
        _, enforced, _ = await guard.ask(PATH, _texts(text))
        guard.directory.mode = Mode.SHADOW
        _, watched, _ = await guard.ask(PATH, _texts(text))
        assert (watched["action"], watched["intended"], watched["mode"]) == ("allow", intended, "shadow")
        assert watched["findings"] == enforced["findings"]
        assert "segments" not in watched and "restore" not in watched
        assert guard.last().intended == intended


async def test_off_looks_at_nothing_and_says_so(guard: GuardPlane) -> None:
    guard.directory.mode = Mode.OFF
    _, said, _ = await guard.ask(PATH, _texts(CODE))
    assert (said["action"], said["findings"], said["outcomes"]) == ("allow", [], {"leaks": "not_run"})
    assert dict(guard.last().outcomes) == {"leaks": Outcome.NOT_RUN}


async def test_a_caller_cannot_switch_the_guard_off(guard: GuardPlane) -> None:
    status, said, _ = await guard.ask(PATH, _texts(CODE, mode="off"))
    assert status == 400 and "unknown field" in said["error"]["message"]
    headers = {"x-sigmaguard-mode": "off", "x-sigmaguard-policy": "off"}
    _, said, _ = await guard.ask(PATH, _texts(CODE), headers=headers)
    assert said["action"] == "block"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Expected `object`"),
        (b"{", "JSON"),
        ({"segments": []}, "segments or messages"),
        ({"segments": [{"text": "a"}], "messages": [{"role": "user", "content": "b"}]}, "segments or messages"),
        ({"segments": [{"text": "a", "origin": "moon"}]}, "segments[0].origin `moon`"),
        ({"segments": [{"text": 7}]}, "$.segments[0].text"),
        ({"segments": "x"}, "$.segments"),
        ({"direction": "sideways", "segments": [{"text": "a"}]}, "$.direction"),
        ([], "Expected `object`"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(guard: GuardPlane, body: Any, said: str) -> None:
    status, answer, _ = await guard.ask(PATH, body)
    assert status == 400
    assert said in answer["error"]["message"]
    assert guard.last().status == 400 and guard.last().faults[0].source.value == "client"


async def test_other_methods_and_sizes_are_refused(guard: GuardPlane) -> None:
    status, _, _ = await guard.ask(PATH, b"", method="GET")
    assert status == 405
    many = _texts(*["a"] * 20_001)
    status, said, _ = await guard.ask(PATH, many)
    assert (status, said["error"]["code"]) == (400, "too_many_texts")


async def test_every_question_is_recorded_exactly_once(guard: GuardPlane) -> None:
    bodies = [_texts("hello"), _texts(CODE), _texts(TICKET), {"segments": "wrong"}]
    seen = [(await guard.ask(PATH, body))[2]["x-sigmaguard-exchange"] for body in bodies]
    assert [record.exchange for record in guard.recorder.records] == seen
    assert "123456" not in repr(guard.recorder.records) and "ABCDEF" not in repr(guard.recorder.records)


words = st.lists(st.sampled_from(["hello", "TICKET-123456", "TICKET-654321", "ä€😀", "<TICKET_1>", "\n"]), max_size=6)


async def test_masked_then_restored_is_what_it_was() -> None:
    async with guard_plane(guard_policy()) as guard:
        questions: list[str] = []

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(words)
        def collect(chosen: list[str]) -> None:
            questions.append(" ".join(chosen) or "x")

        collect()
        for text in questions:
            _, said, _ = await guard.ask(PATH, _texts(text))
            if "segments" not in said:
                assert said["action"] == "allow"
                continue
            masked = said["segments"][0]["text"]
            assert "123456" not in masked and "654321" not in masked
            _, back, _ = await guard.ask(PATH, _texts(masked, direction="output", restore=said["restore"]))
            assert back.get("segments", [{"text": masked}])[0]["text"] == text


def test_tokens_open_for_their_owner_alone() -> None:
    sealer, mine = Sealer(b"k" * 32), Subject("acme", "", "key_1")
    token = sealer.seal(mine, Issued({"<EMAIL_1>": "anna@example.org"}, {"otto@example.com": "real@example.org"}))
    assert "anna" not in token
    opened = Sealer(b"k" * 32).open(mine, token)
    assert (opened.names, opened.stand_ins) == (
        {"EMAIL_1": "anna@example.org"},
        {"otto@example.com": "real@example.org"},
    )
    for other, key in ((Subject("acme", "", "key_2"), b"k"), (Subject("other", "", "key_1"), b"k"), (mine, b"x")):
        with pytest.raises(ValueError, match="not a token"):
            Sealer(key * 32).open(other, token)


def test_what_is_kept_is_bounded_scoped_and_forgotten() -> None:
    mine = Subject("acme", "", "key_1")
    kept = Kept(limit=3)
    for number in range(5):
        kept.keep(mine, str(number), Issued({"<A_1>": str(number)}))
    assert [kept.find(mine, str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    assert kept.find(Subject("other", "", "key_1"), "4") is None
    brief = Kept(seconds=0.0)
    brief.keep(mine, "1", Issued({"<A_1>": "x"}))
    assert brief.find(mine, "1") is None


async def test_a_key_that_a_caller_chose_is_not_written_into_the_record(guard: GuardPlane) -> None:
    key = f"note {CODE}"
    asked = {"messages": [{"role": "user", "content": "hello", "metadata": {key: "1"}}]}
    _, said, _ = await guard.ask(PATH, asked)
    assert (said["action"], said["rule"]) == ("block", "leak.launch_code")
    record = guard.last()
    assert [one.path for one in record.input_findings] == ["/messages/0/metadata/*~key"]
    assert "ABCDEF" not in repr(record)
