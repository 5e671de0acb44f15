"""Steps and layers of training that compiled programs carry out on a CPU, in PyTorch's stead."""
