"""How a request to a provider can fail."""


class OutboundError(OSError):
    """The connection broke, or what came is not HTTP."""


class ConnectFault(OutboundError):
    """The provider cannot be reached: refused, unknown, unreachable, or its certificate is not good."""


class ReadTimeoutFault(OutboundError):
    """The provider fell silent for longer than allowed, or could not be reached in time."""
