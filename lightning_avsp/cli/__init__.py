"""The command line: one program behind `lightning`, `avsp` and `python -m lightning_avsp`, one file a command."""

from lightning_avsp.cli.dispatch import main

__all__ = ["main"]
