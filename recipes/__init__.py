"""Recipes: one folder per experiment, each run by `python -m recipes.NAME`."""
