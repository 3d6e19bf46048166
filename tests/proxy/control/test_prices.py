"""A model's price is that of the longest name it is a variant of; an own file wins over the shipped one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigmaguard.errors import ConfigError
from sigmaguard_proxy.control.prices import MICRO, Price, PriceFile, PriceTable, load_prices

FAST, SLOW, NEW = Price(0.5, 1.5), Price(5.0, 25.0), Price(1.0, 2.0)
TABLE = {"swift": FAST, "swift-max": SLOW, "swift-3": NEW}


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("swift", FAST),
        ("swift-2026-01-31", FAST),
        ("swift@20260131", FAST),
        ("swift:latest", FAST),
        ("provider/swift", FAST),
        ("region/provider/swift-max-2026-01-31", SLOW),
        ("swift-max", SLOW),
        ("swift-3", NEW),
        ("swift-3-preview", NEW),
        ("swift.5", None),  # another version is another model
        ("swift-3.5", FAST),  # not a variant of swift-3; of swift, by the dash
        ("swiftest", None),
        ("max", None),
        ("", None),
    ],
)
def test_the_longest_name_wins(model: str, price: Price | None) -> None:
    table = PriceTable(PriceFile("2026-01-01", TABLE))
    assert table.price(model) == price
    assert table.price(model) == price  # remembered as found


@given(
    st.integers(-1, 10**9), st.integers(-1, 10**9), st.sampled_from([*TABLE, "swift-max-2026-01-31", "somebody-else"])
)
def test_costs_are_exact_and_unknown_counts_cost_nothing(sent: int, got: int, model: str) -> None:
    table = PriceTable(PriceFile("2026-01-01", TABLE))
    price = table.price(model)
    if price is None:
        assert (table.cost_micro(model, sent, got), table.cost_usd(model, sent, got)) == (0, -1.0)
    else:
        assert table.cost_micro(model, sent, got) == round(max(0, sent) * price.input + max(0, got) * price.output)
        assert table.cost_usd(model, sent, got) == table.cost_micro(model, sent, got) / MICRO


def test_names_of_callers_do_not_fill_the_memory() -> None:
    table = PriceTable(PriceFile("2026-01-01", TABLE))
    for number in range(10_000):
        assert table.price(f"nobody-{number}") is None
    assert table.price("swift-2026-05-05") == FAST


def test_an_own_file_wins_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    assert load_prices(tmp_path).models == load_prices().models
    own = tmp_path / "prices.yaml"
    own.write_text("as_of: '2026-01-01'\nmodels: {house-model: {input: 1, output: 2}}\n")
    assert load_prices(tmp_path).models == {"house-model": Price(1.0, 2.0)}
    own.write_text("as_of: '2026-01-01'\nmodels: {house-model: {in: 1}}\n")
    with pytest.raises(ConfigError, match=r"prices\.yaml"):
        load_prices(tmp_path)
