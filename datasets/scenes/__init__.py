"""The built-in dataset: drawn scenes with captions."""
