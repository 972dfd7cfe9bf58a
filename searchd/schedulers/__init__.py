"""Which trials climb the ladder; one file per algorithm."""
