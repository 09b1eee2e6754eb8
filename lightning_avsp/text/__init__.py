"""Captions of frames and their token features: files, encoders, caches. Making them needs the `text` extra."""
