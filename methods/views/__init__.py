"""NumPy mathematics of two paired views."""
