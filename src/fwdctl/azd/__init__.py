"""azd's environment: its values, and what it lacks."""
