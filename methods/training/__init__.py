"""Torch machinery of training: the loop, its stages, batches, devices and curves."""
