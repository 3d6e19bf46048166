"""Training finds every generator, and a generator writes what its seed says."""

import random
from types import ModuleType

import pytest
from detection.corpus import (
    attack_agent_result,
    attack_turn,
    attack_unmarked,
    attack_wild,
    benign_carried,
    benign_mixed,
    benign_persona,
    benign_scraps,
    benign_turn,
)
from detection.gather import generators

MODULES = [
    attack_agent_result,
    attack_turn,
    attack_unmarked,
    attack_wild,
    benign_carried,
    benign_mixed,
    benign_persona,
    benign_scraps,
    benign_turn,
]


@pytest.mark.parametrize("module", MODULES)
def test_training_finds_it(module: ModuleType) -> None:
    assert module.__name__.rpartition(".")[2] in generators()


@pytest.mark.parametrize("module", MODULES)
def test_the_seed_decides(module: ModuleType) -> None:
    first = list(module.generate(random.Random(3), 100))

    assert first == list(module.generate(random.Random(3), 100))
    assert first != list(module.generate(random.Random(4), 100))
