"""Building blocks shared by the papers' networks: embeddings, convolutions, attention, normalisation."""
