"""Commands that need no trainer: one typed function each, whose docstring is its help."""
