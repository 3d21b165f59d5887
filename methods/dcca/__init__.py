"""DCCA: deep canonical correlation analysis."""
