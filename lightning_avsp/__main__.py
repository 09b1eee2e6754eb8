"""`python -m lightning_avsp` is the same program as `lightning` and `avsp`."""

from lightning_avsp.cli import main

if __name__ == "__main__":  # spawned workers import this file too
    main()
