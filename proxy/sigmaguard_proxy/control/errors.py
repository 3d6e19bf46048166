"""Why the control plane refuses to do something. Knows words; `admin/problems.py` knows status codes."""

import msgspec


class Wrong(msgspec.Struct, frozen=True):
    """One thing wrong with what was sent: `at` is the field's path, empty for the whole."""

    at: str
    message: str


class ControlError(Exception):
    """Refused; `code` is a stable word, the message says what to do."""

    code = "refused"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code


class NotFoundError(ControlError):
    """There is no such thing, or it is not this caller's to see."""

    code = "not_found"


class ConflictError(ControlError):
    """It is there already, or in a state in which this cannot be done."""

    code = "conflict"


class StaleError(ControlError):
    """Someone else changed it meanwhile: read it again."""

    code = "changed_meanwhile"


class ForbiddenError(ControlError):
    """The caller may not do this."""

    code = "forbidden"


class UnauthenticatedError(ControlError):
    """Nobody knows who the caller is."""

    code = "unauthenticated"


class TooManyError(ControlError):
    """Too often; `retry_after_s` says when again."""

    code = "too_many_attempts"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InvalidError(ControlError):
    """What was sent is wrong; `wrong` names every place."""

    code = "invalid"

    def __init__(self, message: str, *wrong: Wrong) -> None:
        super().__init__(message)
        self.wrong = wrong


def invalid(at: str, message: str) -> InvalidError:
    """An InvalidError about one field."""
    return InvalidError(f"{at}: {message}" if at else message, Wrong(at, message))
