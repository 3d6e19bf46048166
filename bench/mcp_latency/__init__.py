"""What the gateway adds to MCP messages and HTTP tool calls."""
