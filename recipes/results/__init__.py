"""recipes/README.md, generated from results of finished runs."""
