"""`Microsoft.Compute`."""
