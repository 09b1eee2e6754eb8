"""What a network can show of how it came to its maps: drawn for a clip, and averaged over test videos."""
