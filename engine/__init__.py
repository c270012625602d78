"""CaptionScope's engine: from photos to results that explain why a captioner fails.

The way of the data, a module a station; nothing walks back:

    datasets -> captioner.encode -> decoding -> tokenizer -> metrics, clip, attention -> store

`config` and `schema` say what goes in and what comes out. `evaluate` joins the stations, `__main__` is the command
line, `queries` is what everybody reads results with. Importing this package imports nothing.
"""
