"""Plumbing that the recipes share: command line, data, run folders, figures, sample quality, strategies."""
