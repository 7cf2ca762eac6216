"""Data plane: resources to wanted network, wanted network to kernel."""
