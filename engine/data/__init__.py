"""Datasets, photos and prediction files: everything that users bring."""
