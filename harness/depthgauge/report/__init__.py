"""Rows of verdicts to a table on the terminal, a markdown page with plots, and JSON: the same rows in each."""
