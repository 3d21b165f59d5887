"""Feature files: NumPy, MATLAB, and what their keys mean."""
