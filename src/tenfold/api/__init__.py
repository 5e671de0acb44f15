"""What the command line and Python programs call: one module per command."""
