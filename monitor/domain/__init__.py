"""Rules and formulas. Pure: no clock, no files, no network, no database."""
