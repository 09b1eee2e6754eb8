"""One folder per paper: its networks, the loader of its official weights, and its model card."""
