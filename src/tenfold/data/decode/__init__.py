"""From an image file to uint8 RGB of one size, and to the numbers a model sees."""
