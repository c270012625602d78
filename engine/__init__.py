"""The engine: from photos to results that explain why a captioner fails.

    photos - data - captioners - decoding - explain, metrics, diagnosis - store

`evaluation` lists these stages in order, `cli` is the command line. `protocols` defines what other people's captioners,
metrics and dataset readers implement. Importing this package imports nothing.
"""
