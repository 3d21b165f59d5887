"""CCL: cross-modal correlation learning."""

from cmbench.methods.ccl.method import CCL, CCLCoarse

__all__ = ["CCL", "CCLCoarse"]
