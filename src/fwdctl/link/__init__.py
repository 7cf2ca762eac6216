"""Connections to private link services: who asks, what the service's owner decides, and how to ask."""
