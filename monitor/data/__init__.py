"""Dated, sourced figures that ship with the program; `monitor.library` reads them."""
