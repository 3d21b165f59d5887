"""JRL: joint representation learning."""
