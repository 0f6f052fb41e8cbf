"""Data files that ship with the program; `monitor.library` reads them."""
