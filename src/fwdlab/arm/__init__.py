"""Control plane: an ARM endpoint on loopback."""
