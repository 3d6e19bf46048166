"""Validity checks against published examples, and against the same with one character changed."""

import base64

import pytest

from sigmaguard.detectors.checks import CHECKS, base62_crc
from sigmaguard.detectors.entropy import classes, is_wordlike, shannon

# From the documents named in each check, or built by their recipe.
GOOD = {
    "github_crc": "ghp_" + "0" * 30 + base62_crc("0" * 30),
    "grafana_crc": "glsa_yscW25imSKJIuav8zF37RZmnbiDvB05G_fcaaf58a",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    "luhn": "4539 1488 0343 6467",
    "aws_key_id": "AKIAQ3EGQ5X2K7WZTNB4",
    "base58check": "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPP"
    "qjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    "bech32": "A12UEL5L",
    "basic_auth": base64.b64encode(b"anna:correct horse").decode(),
    "pypi": "pypi-" + base64.urlsafe_b64encode(b"\x02\x01\x08" + b"pypi." + b"org\x02\x04abcd").decode(),
    "base64_json": base64.b64encode(b'{"k":"v"}').decode(),
    "generated": "q8Zr3vWx0LmT",
    "pem": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIFake000000000000000000000000\n-----END PRIVATE KEY-----",
}
BAD = {
    "github_crc": ["ghp_" + "0" * 36, "ghp_", "", "ghp_" + "0" * 29 + "1" + base62_crc("0" * 30)],
    "grafana_crc": ["glsa_yscW25imSKJIuav8zF37RZmnbiDvB05H_fcaaf58a", "glsa"],
    "jwt": ["eyJhbGciOiJIUzI1NiJ.e30.c2ln", "bm8ganNvbg.e30.x", "W10.e30.x", ""],
    "luhn": ["4539 1488 0343 6468", "0000 0000 0000", "7", ""],
    "aws_key_id": ["AKIAQ3EGQ5X2K7WZTNB1", "AKIAAAAAAAAAAAAAAAAA", "AKIA"],
    "base58check": ["xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPP", "0OIl", ""],
    "bech32": ["A12UEL5M", "AGE", ""],
    "basic_auth": [base64.b64encode(b"no colon").decode(), base64.b64encode(b"\x00\x01:\xff").decode(), "***"],
    "pypi": ["pypi-" + base64.urlsafe_b64encode(b"\x02\x01\x08other.rg\x02\x04abcd").decode(), "pypi-"],
    "base64_json": [base64.b64encode(b"[1]").decode(), "eyJ", ""],
    "pem": [
        "-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
    ],
    "not_placeholder": ["aaaaaaaaaa", "<token>", "${TOKEN}", "your-key", "changeme", "1234567890"],
    "random": ["get_user_token", "123e4567-e89b-42d3-a456-556642440000", "123456789012", "<token>"],
    "password": ["str", "getpass.getpass()", "self.password", "/etc/passwd", "Pflichtfeld", "https://a/b1", "!vault"],
    "generated": [
        "",
        "Sommer2024! ",
        "getUserToken2",
        "k9#lavendel",
        "123E4567-e89b-42d3-a456-556642440000",
        "<Token1>",
    ],
    "login_password": ["password", "Postgres", "$PASS", "{pw}"],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_value_passes(name: str) -> None:
    assert CHECKS[name](GOOD[name])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_does_not(name: str, value: str) -> None:
    assert not CHECKS[name](value)


def test_every_check_is_tried() -> None:
    assert set(CHECKS) == set(BAD)


@pytest.mark.parametrize("value", ["Sommer2024!", "hunter2", "k9#Lavendel", "Pa$$w0rdX"])
def test_what_people_choose_is_a_password(value: str) -> None:
    assert CHECKS["password"](value)


def test_entropy_and_the_look_of_words() -> None:
    assert shannon("") == 0.0 and shannon("aaaa") == 0.0 and shannon("abcd") == 2.0
    assert classes("aA1!") == 4 and classes("") == 0
    for name in ("getUserToken2", "my-secret-name", "Zugangsschluessel-Tresor", "shop-deploy-2026-03"):
        assert is_wordlike(name)
    for token in ("q8Zr3vWx0LmT", "9f8e7d6c5b4a", "xkcdvbnmqwrtzp", "", "12345"):
        assert not is_wordlike(token)
