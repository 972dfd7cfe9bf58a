"""The words of searchd as frozen dataclasses and pure functions. Standard library only."""
