"""CaptionScope's engine: from photos to results that explain why a captioner fails.

Data flows through the folders in one direction:

    data -> captioners -> decoding -> metrics, explain, diagnosis -> store

`config` defines the settings and `store.schema` the results. `evaluation` runs the stages, `cli` and `__main__` are the
command line, and `store.queries` reads the results. Importing this package imports nothing.
"""
