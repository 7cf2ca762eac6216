metadata name = 'Private link service'
metadata description = 'Offers the load balancer\'s frontend to private endpoints in other networks.'

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

@description('Subscriptions that may see the service and whose endpoints are approved without asking.')
param subscriptions string[]

resource linkService 'Microsoft.Network/privateLinkServices@2025-05-01' = {
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
      {
        name: 'nat'
        properties: {
          primary: true
          privateIPAllocationMethod: 'Dynamic'
          privateIPAddressVersion: 'IPv4'
          subnet: {
            id: subnetId
          }
        }
      }
    ]
    visibility: {
      subscriptions: subscriptions
    }
    autoApproval: {
      subscriptions: subscriptions
    }
  }
}

@description('Name of the private link service.')
output name string = linkService.name

@description('Resource id of the private link service.')
output resourceId string = linkService.id
