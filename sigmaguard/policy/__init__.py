"""Policy packs: from YAML to one immutable compiled policy."""
