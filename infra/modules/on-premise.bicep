metadata name = 'On-premise stand-in'
metadata description = 'A network peered with the hub, and the servers in it, in the place of a real on-premise network.'

import { corpType, forwardType, imageType } from '../types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('The network and its servers.')
param corp corpType

@description('The forwarded ports; what they lead to on a server of the stand-in is let in.')
param forwards forwardType[]

@description('Name of the hub network.')
param hubNetworkName string

@description('Address range of the hub network, the only one that may connect to the servers.')
param hubAddressPrefix string

@description('Size of a server.')
param vmSize string

@description('Image of a server.')
param image imageType

@description('Whether the host encrypts disks and caches.')
param encryptionAtHost bool

@description('Name of the administrator.')
param adminUsername string

@description('SSH public key of the administrator.')
param sshPublicKey string

@description('cloud-init of the servers, base64.')
param cloudInit string

var abbreviations = loadJsonContent('../abbreviations.json')
var peeringPrefix = abbreviations.networkVirtualNetworksVirtualNetworkPeerings
var addresses = map(corp.servers, server => server.address)
var targets = filter(
  flatten(map(forwards, forward => forward.targets)),
  target => contains(addresses, split(target, ':')[0])
)
var ports = union(
  map(corp.servers, server => string(server.port)),
  map(targets, target => last(split(target, ':')))
)

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${abbreviations.networkNetworkSecurityGroups}corp-${resourceToken}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'allow-hub'
        properties: {
          description: 'Forwarders and the hub jump box.'
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: hubAddressPrefix
          sourcePortRange: '*'
          destinationAddressPrefix: corp.addressPrefix
          destinationPortRanges: ports
        }
      }
      {
        name: 'deny-inbound'
        properties: {
          description: 'Nothing else.'
          priority: 4096
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: '${abbreviations.networkVirtualNetworks}corp-${resourceToken}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [corp.addressPrefix]
    }
  }

  resource toHub 'virtualNetworkPeerings' = {
    name: '${peeringPrefix}corp-hub'
    dependsOn: [subnets]
    properties: {
      remoteVirtualNetwork: {
        id: hubNetwork.id
      }
      allowVirtualNetworkAccess: true
      allowForwardedTraffic: false
      allowGatewayTransit: false
      useRemoteGateways: false
    }
  }
}

module subnets 'subnets.bicep' = {
  params: {
    networkName: network.name
    subnets: [
      {
        name: 'servers'
        addressPrefix: corp.addressPrefix
      }
    ]
    securityGroupId: securityGroup.id
    routeTableId: ''
  }
}

resource hubNetwork 'Microsoft.Network/virtualNetworks@2025-05-01' existing = {
  name: hubNetworkName

  resource toCorp 'virtualNetworkPeerings' = {
    name: '${peeringPrefix}hub-corp'
    properties: {
      remoteVirtualNetwork: {
        id: network.id
      }
      allowVirtualNetworkAccess: true
      allowForwardedTraffic: false
      allowGatewayTransit: false
      useRemoteGateways: false
    }
  }
}

module servers 'onprem-server.bicep' = [
  for server in corp.servers: {
    params: {
      location: location
      tags: tags
      resourceToken: resourceToken
      server: server
      subnetId: '${subnets.outputs.networkId}/subnets/servers'
      vmSize: vmSize
      image: image
      encryptionAtHost: encryptionAtHost
      adminUsername: adminUsername
      sshPublicKey: sshPublicKey
      cloudInit: cloudInit
    }
  }
]
