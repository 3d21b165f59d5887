"""KCCA: kernel canonical correlation analysis."""

from cmbench.methods.kcca.method import KCCA

__all__ = ["KCCA"]
