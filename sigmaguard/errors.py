"""The engine's few exceptions. A verdict is a value; these are faults only."""


class ConfigError(ValueError):
    """A pack, rule file or setting is wrong; the message names the place and the remedy."""


class DetectorError(RuntimeError):
    """A detector could not do its work; the policy's `on_fault` decides what follows."""


class WireError(ValueError):
    """A body is not what its protocol allows; `kind` is a stable word for metrics and errors."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
