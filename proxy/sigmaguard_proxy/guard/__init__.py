"""The firewall as a service: other gateways and programs send texts and get verdicts; nothing is forwarded.

One adapter a caller's dialect; `service` runs the same stages for all of them.
"""
