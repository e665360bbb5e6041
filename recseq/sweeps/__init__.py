"""Sweeps: what holds the jobs of `recseq -m` together."""
