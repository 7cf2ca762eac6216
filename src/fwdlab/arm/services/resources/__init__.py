"""`Microsoft.Resources`."""
