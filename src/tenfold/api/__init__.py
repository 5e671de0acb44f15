"""The Python interface: one module for each command, used by the command line too."""
