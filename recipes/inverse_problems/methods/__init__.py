"""Models of posteriors; a user's own is a class and an entry in `registry.METHODS`."""
