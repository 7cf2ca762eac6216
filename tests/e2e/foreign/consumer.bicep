param location string
param serviceId string

var delegation = {
  name: 'aci'
  properties: { serviceName: 'Microsoft.ContainerInstance/containerGroups' }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-consumer'
  location: location
  properties: {
    addressSpace: { addressPrefixes: ['10.50.0.0/24'] }
    subnets: [
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.50.0.0/26' }
      }
      {
        name: 'tools'
        properties: { addressPrefix: '10.50.0.64/26', delegations: [delegation] }
      }
    ]
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = {
  name: 'pe-files'
  location: location
  properties: {
    subnet: { id: '${network.id}/subnets/endpoints' }
    customNetworkInterfaceName: 'nic-files'
    ipConfigurations: [
      {
        name: 'address'
        properties: { groupId: '', memberName: '', privateIPAddress: '10.50.0.20' }
      }
    ]
    privateLinkServiceConnections: [
      {
        name: 'files'
        properties: { privateLinkServiceId: serviceId }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2020-06-01' = {
  name: 'provider.example'
  location: 'global'
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = {
  parent: zone
  name: 'consumer'
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: { id: network.id }
  }
}

resource record 'Microsoft.Network/privateDnsZones/A@2020-06-01' = {
  parent: zone
  name: 'files'
  properties: {
    ttl: 300
    aRecords: [{ ipv4Address: '10.50.0.20' }]
  }
}

module box 'box.bicep' = {
  params: {
    name: 'tools-consumer'
    location: location
    subnetId: '${network.id}/subnets/tools'
  }
}
