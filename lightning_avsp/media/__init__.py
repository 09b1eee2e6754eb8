"""Decoding and encoding of video, audio and images; no corpus is known here."""
