targetScope = 'subscription'

metadata name = 'Key vault by private endpoint'
metadata description = 'A key vault that one network reaches by a private endpoint, with the name in a private DNS zone, and nobody else.'

import { jumpType, topologyType } from '../../types.bicep'

@description('Name of the azd environment; the resource group is rg-NAME.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region of the network. The vault is in the same one; it might be in any other.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Address range of the network, in CIDR notation.')
param addressPrefix string = '10.4.0.0/24'

@description('Subnet of the private endpoint.')
param linkedSubnetPrefix string = '10.4.0.0/26'

@description('Subnet of the jump box, delegated to Azure Container Instances.')
param jumpSubnetPrefix string = '10.4.0.64/26'

@description('Fixed address of the private endpoint in its subnet.')
param endpointAddress string = '10.4.0.4'

@description('Whether a deleted vault can be purged by nobody before its time. It cannot be taken back, and keeps azd down --purge from freeing the name.')
param purgeProtection bool = false

@description('The jump box.')
param jump jumpType = {
  image: 'mcr.microsoft.com/azurelinux/base/python:3.12'
  lifetimeSeconds: 28800
}

@description('Tags of all resources, besides azd-env-name.')
param tags { *: string } = {}

var abbreviations = loadJsonContent('../../abbreviations.json')
var allTags = union(tags, { 'azd-env-name': environmentName })

resource resourceGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${abbreviations.resourcesResourceGroups}${environmentName}'
  location: location
  tags: allTags
}

module resources 'resources.bicep' = {
  scope: resourceGroup
  params: {
    location: location
    tags: allTags
    resourceToken: toLower(uniqueString(subscription().id, environmentName, location))
    addressPrefix: addressPrefix
    linkedSubnetPrefix: linkedSubnetPrefix
    jumpSubnetPrefix: jumpSubnetPrefix
    endpointAddress: endpointAddress
    purgeProtection: purgeProtection
    jump: jump
  }
}

@description('The resource group that holds everything.')
output RESOURCE_GROUP_NAME string = resourceGroup.name

@description('Name of the vault.')
output VAULT_NAME string = resources.outputs.vaultName

@description('Name of the jump box.')
output SPOKE_JUMP_NAME string = resources.outputs.spoke.jump

@description('Everything that a probe needs to know of this deployment.')
output FWD_TOPOLOGY topologyType = {
  version: 1
  resourceGroup: resourceGroup.name
  spokes: [resources.outputs.spoke]
  forwards: [
    {
      name: 'vault'
      port: 443
      targets: []
      hostNames: []
      balance: 'roundRobin'
      check: 'https'
      checkPath: '/healthstatus'
      identityHeader: ''
      serverName: ''
    }
  ]
}
