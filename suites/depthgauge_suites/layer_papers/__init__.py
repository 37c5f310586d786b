"""Claims of papers on layers, weights and heads, each with its probe beside it."""
