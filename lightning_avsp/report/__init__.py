"""Tables of the papers with our numbers beside them, and a leaderboard of published ones."""

from lightning_avsp.report.published import PublishedTable, published, published_tables

__all__ = ["PublishedTable", "published", "published_tables"]
