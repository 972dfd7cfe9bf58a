"""The codec: wire messages to domain values and back, and the study file."""
