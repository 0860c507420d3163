"""Time and peak memory of the key paths over the history of the project."""
