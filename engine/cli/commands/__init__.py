"""The commands, one module each: `add(commands)` describes its options, `run(options)` executes it.

Whatever takes time to import is imported inside `run`, so that `--help` answers at once.
"""
