"""Pieces of a page that act in the browser without asking Python: the card gallery and the attention viewer.

What comes from strangers goes to them as data and is set as text content, never as HTML.
"""
