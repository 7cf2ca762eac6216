metadata name = 'Private link service'
metadata description = 'Offers the load balancer\'s frontend to private endpoints in other networks.'

import { linkServiceType } from '../types.bicep'

@description('Name of the private link service.')
param name string

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Resource id of the subnet of the NAT addresses.')
param subnetId string

@description('Resource id of the load balancer\'s frontend.')
param frontendId string

@description('Who may use it.')
param linkService linkServiceType

var own = subscription().subscriptionId
var visibility = linkService.?visibility ?? 'subscriptions'
var listed = visibility == 'subscriptions' ? linkService.?subscriptions ?? [own] : []
var found = visibility == 'anyone' ? ['*'] : listed

resource service 'Microsoft.Network/privateLinkServices@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    // A proxy header would reach the targets, which do not expect one.
    enableProxyProtocol: false
    loadBalancerFrontendIpConfigurations: [
      {
        id: frontendId
      }
    ]
    ipConfigurations: [
      for number in range(0, linkService.?natAddresses ?? 1): {
        name: number == 0 ? 'nat' : 'nat${number}'
        properties: {
          primary: number == 0
          privateIPAllocationMethod: 'Dynamic'
          privateIPAddressVersion: 'IPv4'
          subnet: {
            id: subnetId
          }
        }
      }
    ]
    visibility: {
      subscriptions: found
    }
    autoApproval: {
      subscriptions: linkService.?autoApproval ?? (visibility == 'anyone' || contains(listed, own) ? [own] : [])
    }
    fqdns: linkService.?fqdns ?? []
  }
}

@description('Name of the private link service.')
output name string = service.name

@description('Resource id of the private link service.')
output resourceId string = service.id

@description('Alias of the private link service, by which others ask for a connection.')
output alias string = service.properties.alias
