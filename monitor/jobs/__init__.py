"""What happens: collect, roll up, decide, report, deliver."""
