"""Attack the readers of files with damaged and hostile input, and count what they do."""
