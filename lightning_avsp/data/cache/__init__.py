"""The prepared cache: each video decoded once, in order, at one size, into one file that dataloader workers map."""
