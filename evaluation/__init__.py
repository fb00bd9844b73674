"""Policies in, episodes and records out; scores in, statistics out."""
