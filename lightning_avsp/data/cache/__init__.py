"""The prepared cache: each video decoded once, in order, at one size, into one file that dataloader workers map.

``avsp data prepare`` writes it (:mod:`~lightning_avsp.data.cache.prepare`); ``data.loading.cache`` reads it.
"""

from lightning_avsp.data.cache.sources import attach_cache

__all__ = ["attach_cache"]
