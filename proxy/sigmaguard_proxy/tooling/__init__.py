"""What MCP, egress and LLM traffic share about tools: taint, rates, approvals."""
