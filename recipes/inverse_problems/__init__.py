"""The benchmark of invertible architectures on inverse problems, and today's tasks beside it."""
