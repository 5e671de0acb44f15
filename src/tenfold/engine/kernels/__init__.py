"""Training steps and layers as compiled C++ programs on a CPU."""
