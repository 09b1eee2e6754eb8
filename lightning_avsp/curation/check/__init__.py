"""Checks corpora on disk before a training does: every fault, with its path and a remedy."""
