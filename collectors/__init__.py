"""One file for each source of usage, spend or GPU readings."""
