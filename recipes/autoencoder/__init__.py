"""Autoencoders: invertible networks with an artificial bottleneck, classical ones, and today's rivals."""
