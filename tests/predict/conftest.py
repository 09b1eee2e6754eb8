"""Generated videos."""

from films import align, cut, expected_noise, make_film

__all__ = ["align", "cut", "expected_noise", "make_film"]
