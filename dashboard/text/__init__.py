"""Formatting, word differences and suggested commands."""
