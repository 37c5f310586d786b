"""One file a measurement. A probe takes a loaded model and plain inputs, and returns arrays."""
