metadata name = 'Subnets'
metadata description = 'Subnets of a network, as resources of their own: a deployment deletes none that somebody else has added.'

import { subnetType } from '../types.bicep'

@description('Name of the network.')
param networkName string

@description('The subnets.')
param subnets subnetType[]

@description('Resource id of the network security group of all of them.')
param securityGroupId string

@description('Resource id of the route table of all of them; empty for none.')
param routeTableId string

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' existing = {
  name: networkName
}

// One after the other: Azure takes one change of a network at a time.
@batchSize(1)
resource subnet 'Microsoft.Network/virtualNetworks/subnets@2025-05-01' = [
  for each in subnets: {
    parent: network
    name: each.name
    properties: {
      addressPrefix: each.addressPrefix
      defaultOutboundAccess: false
      networkSecurityGroup: {
        id: securityGroupId
      }
      routeTable: empty(routeTableId) ? null : { id: routeTableId }
      natGateway: empty(each.?natGatewayId) ? null : { id: each.?natGatewayId }
      delegations: empty(each.?delegation)
        ? []
        : [
            {
              name: 'delegation'
              properties: {
                serviceName: each.?delegation
              }
            }
          ]
      privateEndpointNetworkPolicies: 'Disabled'
      privateLinkServiceNetworkPolicies: each.?linkServicePolicies ?? 'Enabled'
    }
  }
]

@description('Resource id of the network; those of its subnets begin with it.')
output networkId string = network.id
