"""Nodes: the namespaces of one machine, and the processes in it."""
