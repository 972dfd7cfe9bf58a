"""The engine on Ray. Nothing is imported here: Ray must not be loaded before its environment is in place."""
