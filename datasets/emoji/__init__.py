"""The built-in dataset of real pairs: emoji, with their features and small pictures of the test pairs."""
