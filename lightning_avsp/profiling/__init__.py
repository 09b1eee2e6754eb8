"""What networks cost: counters and the table of every model."""
