"""CMDN: cross-media multiple deep networks."""

from cmbench.methods.cmdn.method import CMDN

__all__ = ["CMDN"]
