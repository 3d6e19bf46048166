"""The OpenAPI 3.1 document, made from the table of endpoints and the types they take and give."""

from collections.abc import Sequence
from typing import Any

import msgspec

from sigmaguard_proxy.admin.endpoint import Endpoint
from sigmaguard_proxy.admin.paths import PATH_PATTERNS
from sigmaguard_proxy.admin.problems import CONTENT_TYPE, TITLES, Problem

Json = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"
TITLE = "Sigmaguard admin API"


def openapi(endpoints: Sequence[Endpoint], version: str) -> Json:
    """The document."""
    types = [one for endpoint in endpoints for one in (endpoint.body, endpoint.answer) if one is not None]
    types += [endpoint.query for endpoint in endpoints]
    schemas, components = msgspec.json.schema_components(
        [Problem, *types], ref_template=REFERENCE, schema_hook=_anything
    )
    by_type = dict(zip(map(id, [Problem, *types]), schemas, strict=True))
    paths: Json = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, by_type, components)
        paths.setdefault(f"/api/v1{endpoint.path}", {})[endpoint.method.lower()] = operation
    queries = {endpoint.query.__name__ for endpoint in endpoints}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version,
            "description": "Tenants, keys, policies, the toggle, limits, the audit log. Errors are RFC 9457 problems. "
            "Changes take `If-Match` with the ETag that was read, and `Idempotency-Key`. "
            "Sign in for a cookie (send its `csrf` as `X-CSRF-Token`) or send a personal token as Bearer.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A personal token (`sga_...`)."},
                "session": {"type": "apiKey", "in": "cookie", "name": "sigmaguard_session"},
            },
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
        },
    }


def _anything(kind: type) -> Json:
    if kind is object:
        return {"description": "Any JSON value"}
    raise NotImplementedError


def _operation(endpoint: Endpoint, by_type: dict[int, Json], components: Json) -> Json:
    operation: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, components), *_headers(endpoint)],
        "responses": _responses(endpoint, by_type),
    }
    if endpoint.permission is not None:
        operation["description"] = f"Needs the permission `{endpoint.permission}`."
        operation["x-permission"] = endpoint.permission.value
    operation["x-scope"] = endpoint.where
    if endpoint.where == "public":
        operation["security"] = []
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_type[id(endpoint.body)]}},
        }
    return operation


def _path_parameters(endpoint: Endpoint) -> list[Json]:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{PATH_PATTERNS[name]}$"},
        }
        for name in names
    ]


def _query_parameters(endpoint: Endpoint, components: Json) -> list[Json]:
    schema = components.get(endpoint.query.__name__, {})
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": value}
        for name, value in schema.get("properties", {}).items()
    ]


def _headers(endpoint: Endpoint) -> list[Json]:
    found: list[Json] = []
    if endpoint.versioned:
        found.append({"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}})
    if endpoint.method == "POST" and endpoint.where != "public":
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    return found


def _responses(endpoint: Endpoint, by_type: dict[int, Json]) -> Json:
    good: Json = {"description": "Done"}
    if endpoint.answer is not None:
        schema: Json = by_type[id(endpoint.answer)] if endpoint.media == "application/json" else {"type": "string"}
        good["content"] = {endpoint.media: {"schema": schema}}
        good["headers"] = {"ETag": {"schema": {"type": "string"}}} if endpoint.media == "application/json" else {}
    responses: Json = {str(endpoint.status): good}
    if endpoint.method == "GET" and endpoint.media == "application/json":
        responses["304"] = {"description": "As you know it (`If-None-Match`)"}
    for status in _failures(endpoint):
        responses[str(status)] = {
            "description": TITLES[status],
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses


def _failures(endpoint: Endpoint) -> list[int]:
    found = {400, 401, 403, 404, 422, 503}
    if endpoint.method != "GET":
        found |= {409, 413, 415}
    if endpoint.versioned:
        found.add(412)
    if endpoint.where in ("public", "self"):
        found.add(429)
    return sorted(found)
