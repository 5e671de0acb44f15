"""Tables for the terminal; nothing is printed here."""
