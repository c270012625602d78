"""A generated world with captions, and two small models trained on it."""
