"""CMDN: cross-media multiple deep networks."""
