"""Where images come from: class folders, archives, CIFAR, built-in shapes, downloads."""
