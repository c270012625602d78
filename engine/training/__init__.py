"""Training of the native captioner."""
