"""The lab: an Azure Resource Manager endpoint whose resources are kernel network namespaces."""
