"""What `make demo` does: does a model listen? Trains tiny networks on a SYNTHETIC corpus and asks."""
