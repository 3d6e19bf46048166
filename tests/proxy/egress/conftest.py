"""The MCP tests' data planes serve the egress tests, too."""

from tests.proxy.mcp.conftest import deadline, host, serve

__all__ = ["deadline", "host", "serve"]
