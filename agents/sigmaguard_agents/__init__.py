"""Agents, tools and workflows: clients of the proxy over HTTP like any other."""
