"""Errors of the admin API in one shape: RFC 9457 problem details. The one place that knows status codes."""

from typing import Any

import msgspec
from aiohttp import web

from sigmaguard_proxy.control.errors import (
    ConflictError,
    ControlError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StaleError,
    TooManyError,
    UnauthenticatedError,
    Wrong,
)

CONTENT_TYPE = "application/problem+json"
STATUS: dict[type[ControlError], int] = {
    InvalidError: 422,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    StaleError: 412,
    TooManyError: 429,
}
TITLES = {
    400: "The request is malformed",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Unsupported content type",
    422: "The content is not valid",
    429: "Too many tries",
    500: "Sigmaguard failed",
    503: "Not available right now",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457). `code` is a stable word, `detail` says what to do, `errors` names every place."""

    title: str
    status: int
    code: str
    detail: str
    request: str
    errors: tuple[Wrong, ...] = ()
    type: str = "about:blank"


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


def problem(status: int, code: str, detail: str, request: str, errors: tuple[Wrong, ...] = ()) -> web.Response:
    """A problem as an answer."""
    body = Problem(TITLES.get(status, "Error"), status, code, detail, request, errors)
    return web.Response(status=status, body=msgspec.json.encode(body), content_type=CONTENT_TYPE)


def refusal(error: ControlError, request: str) -> web.Response:
    """A control plane's refusal as an answer."""
    answer = problem(
        STATUS[type(error)], error.code, str(error), request, error.wrong if isinstance(error, InvalidError) else ()
    )
    if isinstance(error, TooManyError):
        answer.headers["Retry-After"] = str(round(error.retry_after_s))
    if isinstance(error, UnauthenticatedError):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="sigmaguard"'
    return answer


def problem_schema() -> dict[str, Any]:
    """The JSON Schema of a problem."""
    return msgspec.json.schema(Problem)
