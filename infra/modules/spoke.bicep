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

@description('Resource id of the private link service, or its alias with a message.')
param linkServiceId string

@description('Message to the owner of the link service, who has to approve the connection then. Empty in the own tenant, where whoever may approve needs no one else.')
param requestMessage string = ''

var abbreviations = loadJsonContent('../abbreviations.json')
var isNew = spoke.?existing == null
var endpointSubnetId = spoke.?existing.?endpointSubnetId ?? '${network.id}/subnets/linked'
var networkId = split(endpointSubnetId, '/subnets/')[0]
var connections = [
  {
    name: 'forwarder'
    properties: {
      privateLinkServiceId: linkServiceId
      groupIds: []
      requestMessage: empty(requestMessage) ? 'Spoke ${spoke.name}' : requestMessage
    }
  }
]
var zoneId = spoke.?existing.?dnsZoneId ?? resourceId('Microsoft.Network/privateDnsZones', spoke.dnsZoneName)

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = if (isNew) {
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
          destinationAddressPrefix: spoke.?jumpSubnetPrefix ?? ''
          destinationPortRange: '19390'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = if (isNew) {
  name: '${abbreviations.networkVirtualNetworks}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [spoke.?addressPrefix ?? '']
    }
    dhcpOptions: {
      dnsServers: spoke.?dnsServers ?? []
    }
  }
}

module subnets 'subnets.bicep' = if (isNew) {
  params: {
    networkName: network.name
    // A consumer of somebody else's service may leave out the subnets for workloads.
    subnets: concat(
      filter([
        {
          name: 'cp'
          addressPrefix: spoke.?cpSubnetPrefix ?? ''
        }
        {
          name: 'apps'
          addressPrefix: spoke.?appsSubnetPrefix ?? ''
          delegation: spoke.?appsDelegation
        }
        {
          name: 'jump'
          addressPrefix: spoke.?jumpSubnetPrefix ?? ''
          delegation: 'Microsoft.ContainerInstance/containerGroups'
        }
        {
          name: 'linked'
          addressPrefix: spoke.?linkedSubnetPrefix ?? ''
        }
      ], subnet => !empty(subnet.addressPrefix)),
      spoke.?extraSubnets ?? []
    )
    securityGroupId: securityGroup.id
    routeTableId: spoke.?routeTableId ?? ''
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  dependsOn: [subnets]
  name: '${abbreviations.networkPrivateEndpoints}${spoke.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: endpointSubnetId
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
    privateLinkServiceConnections: empty(requestMessage) ? connections : []
    manualPrivateLinkServiceConnections: empty(requestMessage) ? [] : connections
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = if (empty(spoke.?existing.?dnsZoneId)) {
  name: spoke.dnsZoneName
  location: 'global'
  tags: tags
  properties: {}

  resource link 'virtualNetworkLinks' = {
    name: last(split(networkId, '/'))
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: networkId
      }
    }
  }
}

module records 'zone-records.bicep' = {
  scope: resourceGroup(split(zoneId, '/')[2], split(zoneId, '/')[4])
  params: {
    zoneName: spoke.dnsZoneName
    hostNames: hostNames
    address: spoke.endpointAddress
    environmentName: tags['azd-env-name']
  }
  dependsOn: [zone]
}

@description('Resource id of the jump box subnet; empty where there is to be no jump box.')
output jumpSubnetId string = !(spoke.?jump ?? true)
  ? ''
  : isNew ? '${network.id}/subnets/jump' : spoke.?existing.?jumpSubnetId ?? ''

@description('Name of the private endpoint.')
output endpointName string = endpoint.name
