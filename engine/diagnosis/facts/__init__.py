"""Captions as facts: read from words, judged by annotations and references."""
