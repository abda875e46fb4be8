"""Recipes: one file an experiment, each run by `python -m recipes.NAME`."""
