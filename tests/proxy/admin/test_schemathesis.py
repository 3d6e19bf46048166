"""The whole admin API against its own OpenAPI document, signed in under every role: no 5xx, no broken promise."""

import asyncio
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.control_site import ROLES, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = ("streamEvents", "streamAllEvents")  # server-sent events do not end; `test_events_api.py` reads them
EXAMPLES = {"owner everywhere": 6}  # of each operation and kind; roles differ in one check, so few will do
FEW = 1


@pytest.fixture(scope="module")
def state() -> dict[str, str]:
    """The document is the same whatever the store is; the other files run over both."""
    return {}


def fuzz(document: dict[str, Any], base_url: str, token: str, examples: int) -> int:
    """Sends examples to every operation; how many. Raises everything schemathesis found."""
    schema = schemathesis.openapi.from_dict(document)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    sent, problems = 0, []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.definition.raw["operationId"] in ENDLESS:
            continue
        modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        for mode in modes if examples > FEW and (operation.body or operation.query) else modes[:1]:
            try:
                sent += send(operation, mode, session, base_url, examples)
            except (
                Exception,
                BaseExceptionGroup,
            ) as error:  # one list beats many runs
                problems.append(f"{operation.label} {mode}: {error} {getattr(error, 'exceptions', '')}")
    session.close()
    if problems:
        raise AssertionError("\n\n".join(problems))
    return sent


def send(operation: Any, mode: Any, session: requests.Session, base_url: str, examples: int) -> int:
    """Sends examples of one kind to one operation; how many."""
    sent = 0

    @seed(5)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode), home=st.booleans())
    def run(case: Any, home: bool) -> None:
        nonlocal sent
        if home and mode.is_positive and "tenant" in (case.path_parameters or {}):
            case.path_parameters["tenant"] = "default"
        sent += 1
        response = case.call(base_url=base_url, session=session, timeout=20)
        # too large a body is refused as well, which schemathesis does not know
        strict = mode.is_negative and response.status_code != 413
        case.validate_response(response, checks=[*CHECKS, negative_data_rejection] if strict else CHECKS)

    run()
    return sent


async def test_under_every_role(place: Site) -> None:
    document = await place.owner.do("GET", "/openapi.json")
    people = {"owner everywhere": place.owner.token}
    for role in ROLES:
        people[role] = (await place.member(role)).token
    for who, token in people.items():
        sent = await asyncio.to_thread(fuzz, document, place.admin, token, EXAMPLES.get(who, FEW))
        assert sent >= len(document["paths"]), who
    assert "admin_request_failed" not in place.log.getvalue()
