"""Tracking: studies in TensorBoard, MLflow and Weights & Biases, written by a process of its own."""
