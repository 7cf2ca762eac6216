"""`Microsoft.Network`."""
