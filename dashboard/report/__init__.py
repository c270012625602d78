"""The report: chapters, tables and figures in one zip."""
