"""Cost and speed of networks: counters, the table of every DiffSal, and timed training steps."""
