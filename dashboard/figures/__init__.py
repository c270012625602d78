"""Plotly figures from DataFrames."""
