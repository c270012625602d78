"""The stages of an evaluation, in tables, and the runs that they make."""
