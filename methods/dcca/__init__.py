"""DCCA: deep canonical correlation analysis."""

from cmbench.methods.dcca.method import DCCA

__all__ = ["DCCA"]
