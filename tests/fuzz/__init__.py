"""Damaged and hostile inputs for every reader of files from outside.

`harness` mutates valid inputs with a seed and reports what escapes; `readers` lists the readers with valid inputs.
"""
