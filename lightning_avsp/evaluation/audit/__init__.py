"""Audits of trained models: use of audio and text, use of the noisy map, and contamination of the test set."""
