"""Scores of predictions that any program made: protocols, intervals, reference rows, paired comparison."""
