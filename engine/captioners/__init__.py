"""Captioners: photos in, hypotheses and attention maps out."""
