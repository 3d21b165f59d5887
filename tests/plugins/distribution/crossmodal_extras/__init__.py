"""Two methods for cmbench, as somebody else would distribute them."""
