"""Corr-AE: correspondence autoencoders."""
