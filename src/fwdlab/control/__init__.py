"""One running lab: its parts put together, and its own endpoints."""
