param location string
param adminUsername string = 'operator'

var balancerName = 'lb-forwards'
var prefix = 'port-forwarding-gateway-of-files' // Linux: up to 58 characters
var key = { path: '/home/operator/.ssh/authorized_keys', keyData: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDUmOmBfDB8Uu2oLr4tq0PvXn5n3OZ1oXjRk5Cz1i7eE test' }
var servers = [
  { name: 'web', address: '10.40.0.4', port: 8000 }
  { name: 'files', address: '10.40.0.5', port: 9100 }
]

resource guard 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: 'nsg-gateway'
  location: location
  properties: {
    securityRules: [
      for (port, index) in ['8000', '9000']: {
        name: 'forward-${port}'
        properties: {
          priority: 200 + index
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: port
        }
      }
    ]
  }
}

resource hub 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-provider'
  location: location
  properties: {
    addressSpace: { addressPrefixes: ['10.30.0.0/24'] }
    subnets: [
      {
        name: 'gateway'
        properties: {
          addressPrefix: '10.30.0.0/26'
          networkSecurityGroup: { id: guard.id }
          privateLinkServiceNetworkPolicies: 'Disabled'
        }
      }
      {
        name: 'tools'
        properties: {
          addressPrefix: '10.30.0.64/26'
          delegations: [
            {
              name: 'aci'
              properties: { serviceName: 'Microsoft.ContainerInstance/containerGroups' }
            }
          ]
        }
      }
    ]
  }
}

resource site 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: 'vnet-site'
  location: location
  properties: {
    addressSpace: { addressPrefixes: ['10.40.0.0/24'] }
    subnets: [
      {
        name: 'servers'
        properties: { addressPrefix: '10.40.0.0/26' }
      }
    ]
  }
}

resource there 'Microsoft.Network/virtualNetworks/virtualNetworkPeerings@2024-05-01' = {
  parent: hub
  name: 'site'
  properties: {
    remoteVirtualNetwork: { id: site.id }
    allowForwardedTraffic: true
  }
}

resource back 'Microsoft.Network/virtualNetworks/virtualNetworkPeerings@2024-05-01' = {
  parent: site
  name: 'provider'
  properties: {
    remoteVirtualNetwork: { id: hub.id }
    allowForwardedTraffic: true
  }
}

resource address 'Microsoft.Network/publicIPAddresses@2024-05-01' = {
  name: 'pip-web'
  location: location
  sku: { name: 'Standard' }
  properties: {
    publicIPAllocationMethod: 'Static'
    dnsSettings: { domainNameLabel: 'web-of-a-provider' }
  }
}

resource cards 'Microsoft.Network/networkInterfaces@2024-05-01' = [
  for server in servers: {
    name: 'nic-${server.name}'
    location: location
    properties: {
      ipConfigurations: [
        {
          name: 'ip'
          properties: {
            subnet: { id: '${site.id}/subnets/servers' }
            privateIPAllocationMethod: 'Static'
            privateIPAddress: server.address
            publicIPAddress: server.name == 'web' ? { id: address.id } : null
          }
        }
      ]
    }
  }
]

resource machines 'Microsoft.Compute/virtualMachines@2024-07-01' = [
  for (server, index) in servers: {
    name: server.name
    location: location
    properties: {
      hardwareProfile: { vmSize: 'Standard_B1s' }
      osProfile: {
        computerName: 'a-server-with-a-long-name-${server.name}'
        adminUsername: adminUsername
        customData: base64('#cloud-config\nruncmd:\n  - python3 -m http.server ${server.port} > /dev/null 2>&1 &\n')
        linuxConfiguration: {
          disablePasswordAuthentication: true
          ssh: { publicKeys: [key] }
        }
      }
      networkProfile: {
        networkInterfaces: [{ id: cards[index].id }]
      }
    }
  }
]

resource balancer 'Microsoft.Network/loadBalancers@2024-05-01' = {
  name: balancerName
  location: location
  sku: { name: 'Standard' }
  properties: {
    frontendIPConfigurations: [
      {
        name: 'management'
        properties: {
          subnet: { id: '${hub.id}/subnets/gateway' }
          privateIPAllocationMethod: 'Static'
          privateIPAddress: '10.30.0.10'
        }
      }
      {
        name: 'forwards'
        properties: {
          subnet: { id: '${hub.id}/subnets/gateway' }
          privateIPAllocationMethod: 'Static'
          privateIPAddress: '10.30.0.11'
        }
      }
    ]
    backendAddressPools: [{ name: 'gateways' }]
    probes: [
      {
        name: 'alive'
        properties: { protocol: 'Http', port: 8080, requestPath: '/', intervalInSeconds: 5, numberOfProbes: 1 }
      }
    ]
    loadBalancingRules: [
      {
        name: 'management'
        properties: {
          frontendIPConfiguration: { id: resourceId('Microsoft.Network/loadBalancers/frontendIPConfigurations', balancerName, 'management') }
          backendAddressPool: { id: resourceId('Microsoft.Network/loadBalancers/backendAddressPools', balancerName, 'gateways') }
          probe: { id: resourceId('Microsoft.Network/loadBalancers/probes', balancerName, 'alive') }
          protocol: 'Tcp'
          frontendPort: 2222
          backendPort: 22
        }
      }
      {
        name: 'every-port'
        properties: {
          frontendIPConfiguration: { id: resourceId('Microsoft.Network/loadBalancers/frontendIPConfigurations', balancerName, 'forwards') }
          backendAddressPool: { id: resourceId('Microsoft.Network/loadBalancers/backendAddressPools', balancerName, 'gateways') }
          probe: { id: resourceId('Microsoft.Network/loadBalancers/probes', balancerName, 'alive') }
          protocol: 'All'
          frontendPort: 0
          backendPort: 0
        }
      }
    ]
  }
}

resource gateways 'Microsoft.Compute/virtualMachineScaleSets@2024-07-01' = {
  name: 'vmss-gateway'
  location: location
  sku: { name: 'Standard_B1s', tier: 'Standard', capacity: 2 }
  properties: {
    overprovision: false
    upgradePolicy: { mode: 'Manual' }
    virtualMachineProfile: {
      osProfile: {
        computerNamePrefix: prefix
        adminUsername: adminUsername
        customData: loadFileAsBase64('forwarder.yaml')
        linuxConfiguration: {
          disablePasswordAuthentication: true
          ssh: { publicKeys: [key] }
        }
      }
      storageProfile: {
        imageReference: { publisher: 'Canonical', offer: 'ubuntu-24_04-lts', sku: 'server', version: 'latest' }
        osDisk: { createOption: 'FromImage' }
      }
      networkProfile: {
        networkInterfaceConfigurations: [
          {
            name: 'nic'
            properties: {
              primary: true
              enableIPForwarding: true
              ipConfigurations: [
                {
                  name: 'ip'
                  properties: {
                    subnet: { id: '${hub.id}/subnets/gateway' }
                    loadBalancerBackendAddressPools: [{ id: balancer.properties.backendAddressPools[0].id }]
                  }
                }
              ]
            }
          }
        ]
      }
    }
  }
}

resource service 'Microsoft.Network/privateLinkServices@2024-05-01' = {
  name: 'pl-forwards'
  location: location
  properties: {
    loadBalancerFrontendIpConfigurations: [{ id: balancer.properties.frontendIPConfigurations[1].id }]
    ipConfigurations: [
      {
        name: 'nat'
        properties: {
          primary: true
          privateIPAllocationMethod: 'Dynamic'
          subnet: { id: '${hub.id}/subnets/gateway' }
        }
      }
    ]
    visibility: { subscriptions: [subscription().subscriptionId] }
    autoApproval: { subscriptions: [subscription().subscriptionId] }
  }
}

module box 'box.bicep' = {
  params: {
    name: 'tools-provider'
    location: location
    subnetId: '${hub.id}/subnets/tools'
  }
}

output serviceId string = service.id
