"""Torch modules that several methods share, and how they are trained without labels."""
