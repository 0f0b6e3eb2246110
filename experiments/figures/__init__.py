"""Pictures of what the runs of a sweep show."""
