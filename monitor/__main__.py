"""`python -m monitor` is `crossover`."""

from monitor.cli import main

main()
