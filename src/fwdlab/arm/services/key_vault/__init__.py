"""`Microsoft.KeyVault`: the control plane alone. No secret can be read.

Shapes are those of the Azure CLI's recordings of the service (azure-cli, `keyvault/tests/latest/recordings`);
codes and texts of errors are the service's own, as its clients have printed them.
"""
