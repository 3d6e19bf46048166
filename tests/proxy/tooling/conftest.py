"""The MCP tests' data planes serve the tests of calls in LLM traffic, too."""

from tests.proxy.mcp.conftest import deadline, host, serve

__all__ = ["deadline", "host", "serve"]
