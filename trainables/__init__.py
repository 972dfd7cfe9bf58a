"""Trainables that come with searchd: one module registers each of them, the others are what they share."""
