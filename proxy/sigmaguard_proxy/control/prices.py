"""What tokens cost: a dated table from a file. Knows names and numbers, no caller and no budget."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from sigmaguard.policy.load import parse_yaml, read_text

MICRO = 1_000_000  # money is counted in millionths of a dollar: whole numbers add up exactly
SHIPPED = Path(__file__).with_name("prices.yaml")
REMEMBERED = 4_096  # model names come from callers; what is remembered of them is bounded


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for a million tokens in and out."""

    input: float
    output: float


class PriceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as written; `as_of` is the day the prices were looked up."""

    as_of: str
    models: dict[str, Price]
    currency: str = "USD"


class PriceTable:
    """Finds a model's price by the longest name that it begins with."""

    def __init__(self, file: PriceFile) -> None:
        self.file = file
        self._names = sorted(file.models, key=len, reverse=True)
        self._known: dict[str, Price | None] = {}

    @property
    def models(self) -> Mapping[str, Price]:
        """Every price there is."""
        return self.file.models

    def price(self, model: str) -> Price | None:
        """The price of a model, None where the table has none."""
        if model in self._known:
            return self._known[model]
        name = next((one for one in self._names if _is_variant(model, one)), None)
        price = self.file.models[name] if name else None
        if len(self._known) < REMEMBERED:
            self._known[model] = price
        return price

    def cost_micro(self, model: str, input_tokens: int, output_tokens: int) -> int:
        """Millionths of a dollar; 0 for a model without a price. Counts below 0 mean unknown and cost nothing."""
        price = self.price(model)
        if price is None:
            return 0
        # dollars for a million tokens are millionths of a dollar for one
        return round(max(0, input_tokens) * price.input + max(0, output_tokens) * price.output)

    def cost_usd(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """US dollars, -1 for a model without a price."""
        return self.cost_micro(model, input_tokens, output_tokens) / MICRO if self.price(model) else -1.0


def _is_variant(model: str, name: str) -> bool:
    if model == name:
        return True
    # `gpt-4o-2024-08-06` and `openai/gpt-4o` are variants of `gpt-4o`, `gpt-4omni` is not, nor is `gpt-5.2` of `gpt-5`
    bare = model.rpartition("/")[2]
    return bare == name or (bare.startswith(name) and bare[len(name)] in "-:@")


def load_prices(folder: Path | None = None) -> PriceTable:
    """The table in `folder/prices.yaml`, else the shipped one. Raises ConfigError."""
    own = folder / "prices.yaml" if folder else None
    path = own if own is not None and own.is_file() else SHIPPED
    return PriceTable(parse_yaml(read_text(path), PriceFile, path.name))
