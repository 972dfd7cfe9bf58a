"""Engines run segments: on Ray, or in virtual time."""
