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

@description('Names of the A records in its zone.')
param hostNames string[]

@description('Resource id of the private link service.')
param linkServiceId string

var abbreviations = loadJsonContent('../abbreviations.json')

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${abbreviations.networkNetworkSecurityGroups}${abbreviations.networkVirtualNetworks}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'allow-exec'
        properties: {
          description: 'exec into the jump box: Azure Container Instances connects to this port.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'AzureCloud'
          sourcePortRange: '*'
          destinationAddressPrefix: spoke.jumpSubnetPrefix
          destinationPortRange: '19390'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: '${abbreviations.networkVirtualNetworks}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [spoke.addressPrefix]
    }
    dhcpOptions: {
      dnsServers: spoke.?dnsServers ?? []
    }
  }
}

module subnets 'subnets.bicep' = {
  params: {
    networkName: network.name
    subnets: concat(
      [
        {
          name: 'cp'
          addressPrefix: spoke.cpSubnetPrefix
        }
        {
          name: 'apps'
          addressPrefix: spoke.appsSubnetPrefix
          delegation: spoke.?appsDelegation
        }
        {
          name: 'jump'
          addressPrefix: spoke.jumpSubnetPrefix
          delegation: 'Microsoft.ContainerInstance/containerGroups'
        }
        {
          name: 'linked'
          addressPrefix: spoke.linkedSubnetPrefix
        }
      ],
      spoke.?extraSubnets ?? []
    )
    securityGroupId: securityGroup.id
    routeTableId: spoke.?routeTableId ?? ''
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: '${abbreviations.networkPrivateEndpoints}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: '${subnets.outputs.networkId}/subnets/linked'
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
  name: spoke.dnsZoneName
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

  resource records 'A' = [
    for hostName in hostNames: {
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
  ]
}

@description('Resource id of the jump box subnet.')
output jumpSubnetId string = '${subnets.outputs.networkId}/subnets/jump'

@description('Name of the private endpoint.')
output endpointName string = endpoint.name

@description('Name of the private DNS zone.')
output zoneName string = zone.name
