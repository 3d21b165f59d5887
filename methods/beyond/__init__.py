"""The methods since the paper, those that it left out, and the controls that any of them should pass."""
