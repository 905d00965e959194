"""Where the heavy work of a proof runs: compiled kernels on the CPU, or torch tensors on a device (docs/devices.md)."""
