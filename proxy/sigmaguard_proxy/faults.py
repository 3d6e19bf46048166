"""Failures as the caller sees them. Knows status codes and words, no protocol's shape."""

from sigmaguard.model import Fault, FaultSource
from sigmaguard.wire.codec import Refusal


class FaultError(Exception):
    """An exchange cannot go on. Carries what the record keeps and what the caller is told."""

    def __init__(self, fault: Fault, status: int, kind: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{fault.source} {fault.kind}")
        self.fault = fault
        self.status = status
        self.kind = kind
        self.retry_after_s = retry_after_s

    def refusal(self, exchange: str) -> Refusal:
        """The fault as a refusal in no protocol yet."""
        return Refusal(
            status=self.status,
            kind=self.kind,
            code=self.fault.kind,
            message=self.fault.message,
            exchange=exchange,
            retry_after_s=self.retry_after_s,
        )


def client_fault(kind: str, message: str, status: int = 400) -> FaultError:
    """The request itself is wrong."""
    return FaultError(Fault(FaultSource.CLIENT, kind, message), status, "invalid_request_error")


def upstream_fault(kind: str, message: str, status: int = 502, *, retryable: bool = True) -> FaultError:
    """The provider could not be reached or did not keep to its protocol."""
    return FaultError(Fault(FaultSource.UPSTREAM, kind, message, retryable), status, "api_error")


def internal_fault(kind: str, message: str, status: int = 500) -> FaultError:
    """Sigmaguard itself failed."""
    return FaultError(Fault(FaultSource.INTERNAL, kind, message), status, "api_error")


def overloaded(kind: str, message: str) -> FaultError:
    """There is more to inspect than can be inspected in time."""
    return FaultError(Fault(FaultSource.INTERNAL, kind, message, True), 503, "overloaded_error", 1.0)
