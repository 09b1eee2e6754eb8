"""Corpora, clips, audio and dataloaders."""
