metadata name = 'Spoke'
metadata description = 'An isolated network with a private endpoint to the link service and a private DNS zone that names it.'

import { spokeType } from '../types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('The spoke network.')
param spoke spokeType

@description('Name of its private DNS zone.')
param dnsZoneName string

@description('Name of the A record in the zone.')
param hostName string

@description('Resource id of the private link service.')
param linkServiceId string

var abbreviations = loadJsonContent('../abbreviations.json')

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: '${abbreviations.networkVirtualNetworks}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [spoke.addressPrefix]
    }
    subnets: [
      {
        name: 'cp'
        properties: {
          addressPrefix: spoke.cpSubnetPrefix
          defaultOutboundAccess: false
        }
      }
      {
        name: 'apps'
        properties: {
          addressPrefix: spoke.appsSubnetPrefix
          defaultOutboundAccess: false
        }
      }
      {
        name: 'jump'
        properties: {
          addressPrefix: spoke.jumpSubnetPrefix
          defaultOutboundAccess: false
          delegations: [
            {
              name: 'containers'
              properties: {
                serviceName: 'Microsoft.ContainerInstance/containerGroups'
              }
            }
          ]
        }
      }
      {
        name: 'linked'
        properties: {
          addressPrefix: spoke.linkedSubnetPrefix
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource jumpSubnet 'subnets' existing = {
    name: 'jump'
  }

  resource linkedSubnet 'subnets' existing = {
    name: 'linked'
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: '${abbreviations.networkPrivateEndpoints}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: network::linkedSubnet.id
    }
    customNetworkInterfaceName: '${abbreviations.networkNetworkInterfaces}${abbreviations.networkPrivateEndpoints}${spoke.name}-${resourceToken}'
    // A fixed address can be given at creation only. A link service has no groups or members: the names stay empty.
    ipConfigurations: [
      {
        name: 'endpoint'
        properties: {
          groupId: ''
          memberName: ''
          privateIPAddress: spoke.endpointAddress
        }
      }
    ]
    privateLinkServiceConnections: [
      {
        name: 'forwarder'
        properties: {
          privateLinkServiceId: linkServiceId
          groupIds: []
          requestMessage: 'Spoke ${spoke.name}'
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: dnsZoneName
  location: 'global'
  tags: tags
  properties: {}

  resource link 'virtualNetworkLinks' = {
    name: network.name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: network.id
      }
    }
  }

  resource record 'A' = {
    name: hostName
    properties: {
      ttl: 300
      aRecords: [
        {
          ipv4Address: spoke.endpointAddress
        }
      ]
    }
  }
}

@description('Resource id of the jump box subnet.')
output jumpSubnetId string = network::jumpSubnet.id

@description('Name of the private endpoint.')
output endpointName string = endpoint.name

@description('Name of the private DNS zone.')
output zoneName string = zone.name

@description('The name that workloads connect to.')
output fullHostName string = '${hostName}.${zone.name}'
