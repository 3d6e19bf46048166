"""The official MCP conformance suite against a server through the gateway, and against the same server directly."""
