"""HTTP APIs behind the firewall: the agent names a tool, the proxy holds the address and the credentials."""
