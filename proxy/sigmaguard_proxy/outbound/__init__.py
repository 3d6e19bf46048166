"""Requests to providers over HTTP/1.1, lean: bytes in, bytes out, nothing added, nothing decoded."""

from sigmaguard_proxy.outbound.answer import Answer
from sigmaguard_proxy.outbound.client import Outbound
from sigmaguard_proxy.outbound.errors import ConnectFault, OutboundError, ReadTimeoutFault

__all__ = ["Answer", "ConnectFault", "Outbound", "OutboundError", "ReadTimeoutFault"]
