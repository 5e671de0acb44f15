"""Where images and labels come from: folders, archives, tables, Parquet, NumPy, CIFAR, shapes, downloads."""
