"""The embedded demonstration and its data."""
