"""Personal data under a policy: what each pack does about it, in both directions, and the operators per entity."""

from pathlib import Path

import pytest

import sigmaguard_policies
from sigmaguard.errors import ConfigError
from sigmaguard.model import Action, Direction, Origin
from sigmaguard.policy.compile import PolicyLoader
from sigmaguard.policy.pack import DetectorConfig, MaskConfig, Pack
from sigmaguard.scanning import Scanner

ROOT = Path(sigmaguard_policies.__file__).parent


def scanner(masks: dict[str, MaskConfig] | None = None, **detector: object) -> Scanner:
    config = DetectorConfig(action=Action.MASK, threshold=0.5, options=dict(detector))
    return Scanner(PolicyLoader(ROOT).compile(Pack("test", detectors={"pii": config}, masks=masks or {})))


def test_an_entity_can_be_refused_instead_of_masked() -> None:
    scan = scanner({"IBAN": MaskConfig(operator="block")})
    iban, mail = scan.scan([(Origin.USER, "DE89 3704 0044 0532 0130 00"), (Origin.USER, "a@example.org")])
    assert (iban.action, iban.findings[0].rule) == (Action.BLOCK, "pii.iban")
    assert (mail.action, mail.text) == (Action.MASK, "<EMAIL_1>")


def test_refusing_every_entity_is_an_error_that_tells_the_way() -> None:
    with pytest.raises(ConfigError, match="set the detector's action"):
        scanner({"*": MaskConfig(operator="block")})


def test_what_the_model_produced_is_found_and_acted_on() -> None:
    answer = scanner().scan([(Origin.ASSISTANT, "Her address is anna@example.org.")], Direction.OUTPUT)[0]
    assert (answer.action, answer.text) == (Action.MASK, "Her address is [EMAIL].")


def test_entities_can_be_chosen_and_ignored() -> None:
    text = [(Origin.USER, "a@example.org, 4111 1111 1111 1111")]
    assert scanner(entities=["EMAIL"]).scan(text)[0].text == "<EMAIL_1>, 4111 1111 1111 1111"
    assert scanner(ignore=["EMAIL"]).scan(text)[0].text == "a@example.org, <CARD_1>"


def test_an_unknown_entity_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no entity `MAIL`; there are ADDRESS"):
        scanner(entities=["MAIL"])


def test_countries_can_be_left_out() -> None:
    text = [(Origin.USER, "Steuer-ID 86095742719, SSN 219-09-9998")]
    assert scanner(languages=["en"]).scan(text)[0].text == "Steuer-ID 86095742719, SSN <US_SSN_1>"
