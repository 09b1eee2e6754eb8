"""Real films: reading picture and sound, predicting every frame, writing maps and overlays."""
