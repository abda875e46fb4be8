"""Speed, memory and accuracy beside PyTorch's and JAX's libraries: `python -m benchmarks.peers`."""
