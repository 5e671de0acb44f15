"""What every other package uses: errors, durable writes, devices, clocks, progress and text."""
