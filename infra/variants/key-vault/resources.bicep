metadata name = 'Key vault by private endpoint: resources'
metadata description = 'Network, vault, private endpoint with its zone, jump box.'

import { jumpType, spokeTopologyType } from '../../types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('Address range of the network, in CIDR notation.')
param addressPrefix string

@description('Subnet of the private endpoint.')
param linkedSubnetPrefix string

@description('Subnet of the jump box.')
param jumpSubnetPrefix string

@description('Fixed address of the private endpoint.')
param endpointAddress string

@description('Whether a deleted vault can be purged by nobody before its time.')
param purgeProtection bool

@description('The jump box.')
param jump jumpType

var abbreviations = loadJsonContent('../../abbreviations.json')
var networkName = '${abbreviations.networkVirtualNetworks}${resourceToken}'
// Fixed: the vault's public name is an alias of the name with the same first part in this zone.
var zoneName = 'privatelink.vaultcore.azure.net'

module network '../plain-network.bicep' = {
  params: {
    name: networkName
    location: location
    tags: tags
    addressPrefix: addressPrefix
    subnets: [
      { name: 'linked', addressPrefix: linkedSubnetPrefix }
      { name: 'jump', addressPrefix: jumpSubnetPrefix, delegation: 'Microsoft.ContainerInstance/containerGroups' }
    ]
    rules: [
      { name: 'allow-exec', access: 'Allow', source: 'AzureCloud', destination: jumpSubnetPrefix, ports: ['19390'] }
    ]
  }
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: '${abbreviations.keyVaultVaults}${resourceToken}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enablePurgeProtection: purgeProtection ? true : null
    // The endpoint adds a way in, and takes none away: this closes the public one.
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: 'Deny'
    }
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: '${abbreviations.networkPrivateEndpoints}${resourceToken}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: '${network.outputs.networkId}/subnets/linked'
    }
    customNetworkInterfaceName: '${abbreviations.networkNetworkInterfaces}${abbreviations.networkPrivateEndpoints}${resourceToken}'
    ipConfigurations: [
      {
        name: 'endpoint'
        properties: {
          groupId: 'vault'
          memberName: 'default'
          privateIPAddress: endpointAddress
        }
      }
    ]
    privateLinkServiceConnections: [
      {
        name: 'vault'
        properties: {
          privateLinkServiceId: vault.id
          groupIds: ['vault']
        }
      }
    ]
  }

  // Azure keeps the record: one of its own services fills its zone by itself.
  resource zoneGroup 'privateDnsZoneGroups' = {
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: 'vault'
          properties: {
            privateDnsZoneId: zone.id
          }
        }
      ]
    }
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: zoneName
  location: 'global'
  tags: tags
  properties: {}

  resource link 'virtualNetworkLinks' = {
    name: networkName
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: network.outputs.networkId
      }
    }
  }
}

module jumpBox '../../modules/jump-box.bicep' = {
  params: {
    name: '${abbreviations.containerInstanceContainerGroups}${resourceToken}'
    location: location
    tags: tags
    subnetId: '${network.outputs.networkId}/subnets/jump'
    dnsServers: []
    jump: jump
  }
}

@description('Name of the vault.')
output vaultName string = vault.name

@description('Where the parts are, as fwdctl reads it.')
output spoke spokeTopologyType = {
  name: 'vault'
  jump: jumpBox.outputs.name
  container: jumpBox.outputs.containerName
  privateEndpoint: {
    name: endpoint.name
    address: endpointAddress
  }
  hostName: '${toLower(vault.name)}${environment().suffixes.keyvaultDns}'
  zone: zoneName
}
