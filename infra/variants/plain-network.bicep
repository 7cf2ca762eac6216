metadata name = 'Plain network'
metadata description = 'A network with its subnets and one security group for all of them.'

import { inboundRuleType, subnetType } from '../types.bicep'

@description('Name of the network; the security group has the same one with its own prefix.')
param name string

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Address range of the network, in CIDR notation.')
param addressPrefix string

@description('The subnets.')
param subnets subnetType[]

@description('What is let in or kept out besides Azure\'s default rules.')
param rules inboundRuleType[]

var abbreviations = loadJsonContent('../abbreviations.json')

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${abbreviations.networkNetworkSecurityGroups}${name}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      for (rule, index) in rules: {
        name: rule.name
        properties: {
          priority: 100 + 10 * index
          direction: 'Inbound'
          access: rule.access
          protocol: '*'
          sourceAddressPrefix: rule.source
          sourcePortRange: '*'
          destinationAddressPrefix: rule.destination
          destinationPortRanges: rule.ports
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [addressPrefix]
    }
  }
}

module networkSubnets '../modules/subnets.bicep' = {
  params: {
    networkName: network.name
    subnets: subnets
    securityGroupId: securityGroup.id
    routeTableId: ''
  }
}

@description('Resource id of the network; those of its subnets begin with it.')
output networkId string = networkSubnets.outputs.networkId
