"""Time and peak memory of the main functions over the history of the project."""
