"""Processes that are measured: each serves one model of one library, and runs blocks of steps when told to."""
