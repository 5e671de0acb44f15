"""From a source of pictures to batches on the device."""
