"""The azd template: its files, its parameters, and what its hooks do."""
