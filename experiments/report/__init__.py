"""The page about a sweep."""

import figures  # noqa: F401  (before anything imports matplotlib: see there)
