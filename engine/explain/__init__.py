"""Attention maps of words."""
