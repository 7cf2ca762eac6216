"""What happens inside a node: cloud-init, systemctl, terminals."""
