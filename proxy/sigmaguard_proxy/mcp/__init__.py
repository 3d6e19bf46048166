"""The MCP gateway: tool servers behind the firewall."""
