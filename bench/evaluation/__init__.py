"""What is measured of representations and labels: pure functions of arrays."""
