"""The prepared cache: each video decoded once, in order, at one size, into one file that loader processes map.

:func:`~lightning_avsp.data.cache.prepare.prepare_cache` writes it (``avsp data prepare``), :func:`attach_cache` puts
it in the place of the corpus' own files.
"""

from lightning_avsp.data.cache.attach import attach_cache

__all__ = ["attach_cache"]
