"""`Microsoft.ContainerInstance`."""
