"""Replay: two policies over the same traffic, every difference told, from a file and from kept content."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sigmaguard_proxy.cli import main
from sigmaguard_proxy.store.database import open_database
from sigmaguard_proxy.store.location import locate
from sigmaguard_proxy.store.migrate import migrate
from tests.audit_records import exchange, record_all, ship_all

PACK = """
name: {name}
detectors:
  leaks: {{action: {action}}}
custom_rules:
  - detector: leaks
    rules:
      - id: leak.ticket
        description: a ticket number
        pattern: 'TICKET-(?P<value>\\d{{6}})'
        keywords: [TICKET-]
        match: ["see TICKET-123456", "TICKET-654321 is open"]
        miss: ["see TICKET-12", "no ticket"]
"""
TICKET = "please close TICKET-123456 today"


@pytest.fixture
def packs(tmp_path: Path) -> tuple[str, str]:
    for name, action in (("loose", "flag"), ("tight", "block")):
        (tmp_path / f"{name}.yaml").write_text(PACK.format(name=name, action=action))
    return str(tmp_path / "loose.yaml"), str(tmp_path / "tight.yaml")


def _chat(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


def _answer(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def _stream(*pieces: str) -> str:
    frames = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames) + "data: [DONE]\n\n"


LINES: list[dict[str, Any]] = [
    {"exchange": "asked", "request": _chat(TICKET), "response": _answer("done")},
    {"exchange": "harmless", "request": _chat("hello"), "response": _answer("hello")},
    {"exchange": "answered", "request": _chat("hello"), "response": _answer(TICKET)},
    {"exchange": "streamed", "request": _chat("hello"), "response": _stream("about TICK", "ET-123", "456 now")},
    {"exchange": "messages", "endpoint": "/v1/messages", "request": {**_chat(TICKET), "max_tokens": 5}},
    {"exchange": "unread", "endpoint": "/v1/unknown", "request": {}},
]


def _replayed(capsys: pytest.CaptureFixture[str], packs: tuple[str, str], *more: str) -> list[dict[str, Any]]:
    assert main(["replay", "--against", packs[0], "--policy", packs[1], "--jsonl", *more]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_is_replayed_in_both_directions(
    tmp_path: Path, packs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text("\n".join(map(json.dumps, LINES)))
    told = _replayed(capsys, packs, "--file", str(file))
    changed = {(one["exchange"], one["direction"]) for one in told if one["old"]["action"] != one["new"]["action"]}
    assert changed == {
        ("asked", "input"),
        ("answered", "output"),
        ("streamed", "output"),
        ("messages", "input"),
    }
    assert all(one["new"]["rule"] == "leak.ticket" for one in told if one["new"]["action"] == "block")
    assert len(told) == 9


def test_the_table_counts_and_the_exit_code_tells(
    tmp_path: Path, packs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text("\n".join(map(json.dumps, LINES)))
    words = ["replay", "--against", packs[0], "--policy", packs[1], "--file", str(file)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "6 exchanges, 9 verdicts, 4 changed from `loose` to `tight`" in out
    assert "allow -> block (leak.ticket)" in out
    assert "1 could not be read: no codec for /v1/unknown" in out
    assert "123456" not in out
    assert main([*words, "--exit-code"]) == 1
    same = ["replay", "--against", packs[0], "--policy", packs[0], "--file", str(file), "--exit-code"]
    assert main(same) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "line 2"),
        ('{"endpoint": "/v1/chat/completions"}', "line 2: Object missing required field `request`"),
    ],
)
def test_a_wrong_line_is_named(
    tmp_path: Path, packs: tuple[str, str], capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    file = tmp_path / "captured.jsonl"
    file.write_text(json.dumps(LINES[0]) + "\n" + line)
    assert main(["replay", "--against", packs[0], "--policy", packs[1], "--file", str(file)]) == 2
    assert said in capsys.readouterr().err


def test_nothing_to_replay_is_said(tmp_path: Path, packs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--policy", packs[1], "--file", str(tmp_path / "none.jsonl")]) == 2
    (tmp_path / "empty.jsonl").write_text("")
    assert main(["replay", "--against", packs[0], "--policy", packs[1], "--file", str(tmp_path / "empty.jsonl")]) == 2
    assert "nothing to replay" in capsys.readouterr().err


def test_kept_content_is_replayed_and_what_was_not_kept_is_not(
    tmp_path: Path, packs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    kept = [
        exchange(number, content=(json.dumps(line["request"]).encode(), _bytes(line["response"])))
        for number, line in enumerate(LINES[:4])
    ]
    record_all(data, [*kept, exchange(9)])

    async def fill() -> None:
        database = open_database(locate(data, ""))
        await migrate(database)
        await ship_all(data, database)
        await database.close()

    asyncio.run(fill())
    told = _replayed(capsys, packs, "--data", str(data))
    assert [(one["exchange"], one["direction"]) for one in told if one["new"]["action"] == "block"] == [
        (kept[0].exchange, "input"),
        (kept[2].exchange, "output"),
        (kept[3].exchange, "output"),
    ]
    assert len(told) == 8


def _bytes(response: Any) -> bytes:
    return response.encode() if isinstance(response, str) else json.dumps(response).encode()
