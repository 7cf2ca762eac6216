metadata name = 'Machines of the service provider'
metadata description = 'A network with one machine for each service, and an internal Standard load balancer whose one frontend has a rule for each.'

import { imageType } from '../../types.bicep'
import { networkType, serviceType } from 'types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('The network.')
param network networkType

@description('The services.')
param services serviceType[]

@description('SSH public key of the administrator.')
param sshPublicKey string

@description('Name of the administrator.')
param adminUsername string

@description('Size of a machine.')
param vmSize string

@description('Image of a machine.')
param image imageType

@description('Availability zones of the frontend.')
param availabilityZones string[]

var abbreviations = loadJsonContent('../../abbreviations.json')
var loadBalancerName = '${abbreviations.networkLoadBalancersInternal}${resourceToken}'
var frontendName = 'frontend'
var ports = map(services, service => string(service.port))
// Every line but the first has to be as far in as the marker is.
var program = replace(loadTextContent('../../cloud-init/onprem-server/server.py'), '\n', '\n      ')
var webServer = replace(loadTextContent('../../cloud-init/onprem-server.yaml'), '@@SERVER@@', program)

module plainNetwork '../plain-network.bicep' = {
  params: {
    name: '${abbreviations.networkVirtualNetworks}${resourceToken}'
    location: location
    tags: tags
    addressPrefix: network.addressPrefix
    subnets: [
      { name: 'machines', addressPrefix: network.machineSubnetPrefix }
      { name: 'nat', addressPrefix: network.natSubnetPrefix, linkServicePolicies: 'Disabled' }
      {
        name: 'jump'
        addressPrefix: network.jumpSubnetPrefix
        delegation: 'Microsoft.ContainerInstance/containerGroups'
      }
    ]
    rules: concat(
      map(['AzureLoadBalancer', network.natSubnetPrefix, network.jumpSubnetPrefix], source => {
        name: 'allow-${replace(source, '/', '-')}'
        access: 'Allow'
        source: source
        destination: network.machineSubnetPrefix
        ports: ports
      }),
      [
        {
          name: 'deny-rest'
          access: 'Deny'
          source: '*'
          destination: network.machineSubnetPrefix
          ports: ['0-65535']
        }
        {
          name: 'allow-exec'
          access: 'Allow'
          source: 'AzureCloud'
          destination: network.jumpSubnetPrefix
          ports: ['19390']
        }
      ]
    )
  }
}

resource loadBalancer 'Microsoft.Network/loadBalancers@2025-05-01' = {
  name: loadBalancerName
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    frontendIPConfigurations: [
      {
        // One for all services: a link service supports only one.
        name: frontendName
        zones: availabilityZones
        properties: {
          privateIPAllocationMethod: 'Dynamic'
          subnet: {
            id: '${plainNetwork.outputs.networkId}/subnets/machines'
          }
        }
      }
    ]
    backendAddressPools: [
      for service in services: {
        name: service.name
      }
    ]
    probes: [
      for service in services: {
        name: service.name
        properties: {
          protocol: 'Tcp'
          port: service.port
          intervalInSeconds: 5
          probeThreshold: 2
        }
      }
    ]
    loadBalancingRules: [
      for service in services: {
        name: service.name
        properties: {
          protocol: 'Tcp'
          frontendPort: service.port
          backendPort: service.port
          enableTcpReset: true
          idleTimeoutInMinutes: 4
          frontendIPConfiguration: {
            id: resourceId('Microsoft.Network/loadBalancers/frontendIPConfigurations', loadBalancerName, frontendName)
          }
          backendAddressPool: {
            id: resourceId('Microsoft.Network/loadBalancers/backendAddressPools', loadBalancerName, service.name)
          }
          probe: {
            id: resourceId('Microsoft.Network/loadBalancers/probes', loadBalancerName, service.name)
          }
        }
      }
    ]
  }
}

module machines '../../modules/onprem-server.bicep' = [
  for service in services: {
    params: {
      location: location
      tags: tags
      resourceToken: resourceToken
      server: {
        name: service.name
        address: service.address
        port: service.port
      }
      subnetId: '${plainNetwork.outputs.networkId}/subnets/machines'
      vmSize: vmSize
      image: image
      encryptionAtHost: false
      adminUsername: adminUsername
      sshPublicKey: sshPublicKey
      cloudInit: base64(service.?cloudInit ?? webServer)
      poolIds: ['${loadBalancer.id}/backendAddressPools/${service.name}']
    }
  }
]

@description('Resource id of the load balancer\'s frontend.')
output frontendId string = loadBalancer.properties.frontendIPConfigurations[0].id

@description('Address of the frontend.')
output frontendAddress string = loadBalancer.properties.frontendIPConfigurations[0].properties.privateIPAddress

@description('Resource id of the subnet of the NAT addresses.')
output natSubnetId string = '${plainNetwork.outputs.networkId}/subnets/nat'

@description('Resource id of the subnet of the jump box.')
output jumpSubnetId string = '${plainNetwork.outputs.networkId}/subnets/jump'
