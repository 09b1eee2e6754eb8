"""lightning_avsp: train, compare and trust audio-visual saliency models.

Given a video and its sound, predict where people look. Networks live in :mod:`lightning_avsp.papers`, the common
diffusion process in :mod:`lightning_avsp.diffusion`, data in :mod:`lightning_avsp.data`, metrics in
:mod:`lightning_avsp.metrics`. Importing this package imports nothing heavy.
"""

__version__ = "0.1.0"
