"""Crossover: when does self-hosting a language model become cheaper than its API?"""

__version__ = "0.1.0"
