"""Throughput and latency of the proxy beside a bare forwarder, in one run."""
