"""Trainables that come with searchd; each module registers one."""
