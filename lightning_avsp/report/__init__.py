"""Tables of the papers with our numbers beside them, and a leaderboard of published ones."""

from lightning_avsp.report.published import PublishedTable, PublishedValue, published, published_tables

__all__ = ["PublishedTable", "PublishedValue", "published", "published_tables"]
