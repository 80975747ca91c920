"""The synthetic training that made the bundled weights."""
