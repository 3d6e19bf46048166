"""The examples in `docs/examples` do what the page beside them says."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from sigmaguard.policy.compile import PolicyLoader
from sigmaguard_policies import policies_root
from sigmaguard_proxy.guard.service import GuardService
from tests.guard_plane import GuardPlane, guard_plane

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


async def _run(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.fixture
async def basic() -> AsyncIterator[GuardPlane]:
    async with guard_plane(PolicyLoader(policies_root()).load("basic")) as running:
        yield running


@pytest.mark.parametrize("name", ["guard_decorator.py", "guard_langchain.py"])
async def test_examples_without_a_server(name: str) -> None:
    out = await _run(sys.executable, str(EXAMPLES / name))
    assert "Write to anna.schmidt@example.org" in out
    assert "blocked: Blocked by Sigmaguard" in out


async def test_examples_against_a_server(basic: GuardPlane) -> None:
    out = await _run(sys.executable, str(EXAMPLES / "guard_client.py"), basic.base)
    masked, restored, blocked = out.splitlines()
    assert masked.startswith("mask ('Write to <EMAIL_1>',)")
    assert restored == "allow ('I wrote to anna.schmidt@example.org.',)"
    assert blocked.startswith("block ")
    out = await _run("bash", str(EXAMPLES / "guard_http.sh"), basic.base)
    native, lakera, litellm, envoy = out.splitlines()
    assert '"action":"mask"' in native and "<EMAIL_1>" in native
    assert '"flagged":true' in lakera and "pii/email" in lakera
    assert "GUARDRAIL_INTERVENED" in litellm
    assert envoy == "200"


async def test_configurations_name_paths_that_are_served(basic: GuardPlane) -> None:
    mounts = GuardService(basic.plane.services, basic.plane.proxy.record).mounts
    assert "/beta/litellm_basic_guardrail_api" in mounts and "envoy" in mounts
    litellm = yaml.safe_load((EXAMPLES / "litellm.yaml").read_text())
    (guardrail,) = litellm["guardrails"]
    assert guardrail["litellm_params"]["guardrail"] == "generic_guardrail_api"
    envoy = yaml.safe_load((EXAMPLES / "envoy.yaml").read_text())
    filters = envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"][
        "http_filters"
    ]
    assert filters[0]["typed_config"]["http_service"]["path_prefix"] == "/envoy"
    assert filters[0]["typed_config"]["failure_mode_allow"] is False
