"""Kills of commands at every change of the file system; see harness."""
