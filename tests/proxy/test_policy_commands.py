"""The packs that ship prove themselves: every rule by its examples, every case with the classifier that ships."""

import pytest

from sigmaguard_proxy.cli import main


@pytest.mark.parametrize("name", ["off", "basic", "strict"])
def test_a_shipped_pack_passes_its_own_test(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test", name]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", ["basic", "strict"])
def test_a_shipped_pack_has_nothing_odd(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "lint", name]) == 0, capsys.readouterr().out
