"""The mind: pure, synchronous decisions. Time is handed in, facts and commands come out, nothing is touched."""
