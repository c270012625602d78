"""The results folder: the contract, writing, reading, and every SQL query."""
