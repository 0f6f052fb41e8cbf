"""From configuration to working parts: the only package that names concrete classes.

Who needs a part imports its module: no command needs all of them.
"""
