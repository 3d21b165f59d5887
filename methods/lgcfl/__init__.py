"""LGCFL: local group based consistent feature learning."""

from cmbench.methods.lgcfl.method import LGCFL

__all__ = ["LGCFL"]
