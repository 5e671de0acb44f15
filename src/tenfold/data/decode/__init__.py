"""Decoding of image files: to uint8 RGB of one size, and to the normalized input of a model."""
