"""Browser components: card gallery, attention viewer, histograms and scatter plot.

Untrusted text is sent as data and set as text content, never as HTML.
"""
