"""i-ResNet: a residual network that classifies as well as an unconstrained one, runs backwards, and is a density."""
