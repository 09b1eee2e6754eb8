"""Explanations of a network's maps: drawn for a clip, and averaged over test videos."""
