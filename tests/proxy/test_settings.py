"""Settings that are wrong are refused before anything starts, with their source, the choices and the remedy."""

from pathlib import Path

import pytest

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.settings import Settings, load_settings, make_data_folder

PASSWORD = "correct-horse"


def refusal(text: str | bytes, tmp_path: Path) -> str:
    file = tmp_path / "sigmaguard.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_settings({}, {}, file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("upstreams: [a]", "`upstreams` must be a mapping, not a list (upstreams: NAME=URL"),
        ("mode: enforced", "`enforced` is not one of enforce, shadow, off at `mode`; did you mean `enforce`?"),
        ("mode: off", "in quotes"),
        ("policy: off", "in quotes"),
        ("pool_threads: two", "`pool_threads` must be a whole number, not text"),
        ("pool_threads: 0", "`pool_threads` must be at least 1"),
        ("pool_queue: -1", "`pool_queue` must"),
        ("memory_entries: 0", "`memory_entries` must"),
        ("connect_timeout_s: 0", "`connect_timeout_s` must be more than 0"),
        ("read_timeout_s: .inf", "`read_timeout_s` must"),
        ("unread_timeout_s: .nan", "`unread_timeout_s` must"),
        ("drain_s: -1", "`drain_s` must be at least 0"),
        ("policy: basic\nmode: shadow\npolicy: strict", "line 3: `policy` is written twice, first in line 1"),
        (b"policy: \xff", "is not UTF-8"),
    ],
)
def test_a_wrong_setting_is_told_with_its_file_and_the_remedy(text: str | bytes, says: str, tmp_path: Path) -> None:
    said = refusal(text, tmp_path)
    assert "sigmaguard.yaml: " in said and says in said and "$" not in said, said


def test_a_wrong_variable_and_a_wrong_flag_are_told_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^SIGMAGUARD_MODE: `enforced` is not one of enforce, shadow, off"):
        load_settings({}, {"SIGMAGUARD_MODE": "enforced"})
    with pytest.raises(ConfigError, match=r"^--mode: `enforced` is not one of enforce, shadow, off"):
        load_settings({"mode": "enforced"}, {})


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{PASSWORD}@foo",
        f"foo:{PASSWORD}",
        f"redis://:{PASSWORD}@host:port",
        "redis://",
        "unix://",
        "redis://[::1",
    ],
)
def test_a_redis_url_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url: write redis://HOST:PORT") as caught:
        load_settings({}, {"SIGMAGUARD_REDIS_URL": url})
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://h", "redis://:p@h:6379/0", "rediss://h:1", "unix:///run/redis.sock?db=1", ""])
def test_a_redis_url_is_taken(url: str) -> None:
    assert load_settings({}, {"SIGMAGUARD_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("inner", ["file", "file/deeper"])
def test_a_data_folder_that_cannot_be_made_is_told_with_the_reason(inner: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--data .*: cannot be made: .*; choose"):
        make_data_folder(Settings(data=str(tmp_path / inner)))


def test_a_data_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_data_folder(Settings(data=str(tmp_path / "a" / "b")))
    assert (tmp_path / "a" / "b").is_dir()
