"""Facts that ship with the program, as data with their sources."""
