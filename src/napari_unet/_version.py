"""The version, in the one place from which package, models and pages take it."""

__version__ = "0.1.0"
