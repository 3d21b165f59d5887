"""KCCA: kernel canonical correlation analysis."""
