"""Jump boxes: status, start and stop, and sessions in a box that is left as it was found."""
