"""What was read of a request before something went wrong: a value that tells which ids to answer."""

from sigmaguard_proxy.mcp.message import Message


class Reading:
    """The messages of one request, as far as they were read."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.batch = False
