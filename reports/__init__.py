"""Figures in, messages out: view models, charts, templates, channels."""
