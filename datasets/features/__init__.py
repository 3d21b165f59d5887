"""From raw pairs to shared CNN features."""
