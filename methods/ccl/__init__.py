"""CCL: cross-modal correlation learning."""
