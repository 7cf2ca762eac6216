metadata name = 'Hub network'
metadata description = 'The hub network with the shared subnet (forwarders, load balancer, link service; NAT gateway for egress) and the jump box subnet.'

import { hubType } from '../types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('The hub network.')
param hub hubType

@description('TCP ports that are forwarded.')
param forwardedPorts int[]

@description('Port of the forwarder agents\' health responder.')
param healthPort int

@description('Whether the hub jump box subnet may open SSH to the forwarders.')
param allowSsh bool

@description('Resource id of the workspace for diagnostics.')
param workspaceId string

var abbreviations = loadJsonContent('../abbreviations.json')
var hasNatGateway = (hub.?egress ?? 'natGateway') == 'natGateway'
var forwardedPortRanges = map(forwardedPorts, port => string(port))

var baseRules = [
  {
    name: 'allow-probes'
    properties: {
      // On every port: the load balancer and the agents do not learn of another health port at the same moment.
      description: 'Health probes of the load balancer, answered by the forwarder agent.'
      priority: 100
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: 'AzureLoadBalancer'
      sourcePortRange: '*'
      destinationAddressPrefix: hub.sharedSubnetPrefix
      destinationPortRange: '*'
    }
  }
  {
    name: 'allow-link-service'
    properties: {
      description: 'Spokes: behind the private link service they come from its NAT addresses, which lie in the shared subnet.'
      priority: 110
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: hub.sharedSubnetPrefix
      sourcePortRange: '*'
      destinationAddressPrefix: hub.sharedSubnetPrefix
      destinationPortRanges: forwardedPortRanges
    }
  }
  {
    name: 'allow-hub-jump'
    properties: {
      description: 'The hub jump box: forwarded ports and the agents\' status.'
      priority: 120
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: hub.jumpSubnetPrefix
      sourcePortRange: '*'
      destinationAddressPrefix: hub.sharedSubnetPrefix
      destinationPortRanges: concat(forwardedPortRanges, [string(healthPort)])
    }
  }
  {
    name: 'deny-inbound'
    properties: {
      description: 'Nothing else, not from the hub network either.'
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

var sshRules = [
  {
    name: 'allow-ssh'
    properties: {
      description: 'SSH from the hub jump box subnet, asked for by forwarder.allowSsh.'
      priority: 130
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: hub.jumpSubnetPrefix
      sourcePortRange: '*'
      destinationAddressPrefix: hub.sharedSubnetPrefix
      destinationPortRange: '22'
    }
  }
]

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${abbreviations.networkNetworkSecurityGroups}shared-${resourceToken}'
  location: location
  tags: tags
  properties: {
    securityRules: concat(baseRules, allowSsh ? sshRules : [])
  }
}

resource jumpSecurityGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${abbreviations.networkNetworkSecurityGroups}hub-jump-${resourceToken}'
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
          destinationAddressPrefix: hub.jumpSubnetPrefix
          destinationPortRange: '19390'
        }
      }
    ]
  }
}

resource natAddress 'Microsoft.Network/publicIPAddresses@2025-05-01' = if (hasNatGateway) {
  name: '${abbreviations.networkPublicIPAddresses}nat-${resourceToken}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource natGateway 'Microsoft.Network/natGateways@2025-05-01' = if (hasNatGateway) {
  name: '${abbreviations.networkNatGateways}${resourceToken}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    idleTimeoutInMinutes: 4
    publicIpAddresses: [
      {
        id: natAddress.id
      }
    ]
  }
}

resource hubNetwork 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: '${abbreviations.networkVirtualNetworks}hub-${resourceToken}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [hub.addressPrefix]
    }
    dhcpOptions: {
      dnsServers: hub.?dnsServers ?? []
    }
  }
}

module sharedSubnet 'subnets.bicep' = {
  params: {
    networkName: hubNetwork.name
    subnets: [
      {
        name: 'shared'
        addressPrefix: hub.sharedSubnetPrefix
        natGatewayId: hasNatGateway ? natGateway.id : null
        linkServicePolicies: 'Disabled'
      }
    ]
    securityGroupId: securityGroup.id
    routeTableId: hub.?routeTableId ?? ''
  }
}

module otherSubnets 'subnets.bicep' = {
  // Azure takes one change of a network at a time.
  dependsOn: [sharedSubnet]
  params: {
    networkName: hubNetwork.name
    subnets: concat(
      [
        {
          name: 'jump'
          addressPrefix: hub.jumpSubnetPrefix
          delegation: 'Microsoft.ContainerInstance/containerGroups'
        }
      ],
      hub.?extraSubnets ?? []
    )
    securityGroupId: jumpSecurityGroup.id
    routeTableId: hub.?routeTableId ?? ''
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: hubNetwork
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

@description('Name of the hub network.')
output name string = hubNetwork.name

@description('Resource id of the shared subnet.')
output sharedSubnetId string = '${sharedSubnet.outputs.networkId}/subnets/shared'

@description('Resource id of the jump box subnet.')
output jumpSubnetId string = '${otherSubnets.outputs.networkId}/subnets/jump'
