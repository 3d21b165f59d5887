"""Corr-AE: correspondence autoencoders."""

from cmbench.methods.corr_ae.method import CorrAE, CorrAECorr, CorrAECross, CorrAEFull

__all__ = ["CorrAE", "CorrAECorr", "CorrAECross", "CorrAEFull"]
