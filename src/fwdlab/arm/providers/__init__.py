"""Resource providers, one file for each namespace."""
