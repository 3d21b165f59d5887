"""CM-GANs: cross-modal generative adversarial networks."""
