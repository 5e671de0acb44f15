"""What every other room stands on: errors, durable writes, registries and clocks."""
