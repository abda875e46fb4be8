"""Flows trained on images by maximum likelihood: their stability over training, and what they reconstruct of other inputs."""
