"""The wire formats: bodies and streams to segments and back, one protocol a file."""
