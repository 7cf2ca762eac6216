targetScope = 'subscription'

metadata name = 'Consumer of a link service'
metadata description = 'A network with a private endpoint that asks for a connection to somebody else\'s link service, and with names for it.'

import { jumpType, spokeType, topologyType } from '../../types.bicep'

@sealed()
@description('A port of the service.')
type consumedType = {
  @description('Name of the path in a probe.')
  name: string

  @description('The port that clients connect to.')
  @minValue(1)
  @maxValue(65534)
  port: int

  @description('How a probe tests it, as in the forwards of the main template. Default tcp.')
  check: ('tcp' | 'http' | 'https' | 'tls' | 'mssql' | 'postgres' | 'banner' | 'none')?

  @description('Path of the GET when check is http or https. Default /.')
  checkPath: string?

  @description('Host parts of the names that workloads use for this port, in the zone. Default: hostName.')
  hostNames: string[]?
}

@description('Name of the azd environment; the resource group is rg-NAME.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region of the network. It may be another one than the service\'s.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Alias of the link service, from another subscription or tenant; in the same tenant its resource id serves as well.')
@minLength(1)
param linkService string

@description('What the owner of the service reads, who has to approve.')
@minLength(1)
@maxLength(140)
param requestMessage string

@description('The network, or one that is there already.')
param network spokeType

@description('The ports of the service.')
@minLength(1)
param ports consumedType[]

@description('Host part of the name that workloads connect to, in the network\'s zone.')
param hostName string = 'service'

@description('The jump box.')
param jump jumpType = {
  image: 'mcr.microsoft.com/azurelinux/base/python:3.12'
  lifetimeSeconds: 28800
}

@description('Tags of all resources, besides azd-env-name.')
param tags { *: string } = {}

var abbreviations = loadJsonContent('../../abbreviations.json')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var allTags = union(tags, { 'azd-env-name': environmentName })
var hasJump = (network.?jump ?? true) && (network.?existing == null || !empty(network.?existing.?jumpSubnetId))

resource resourceGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${abbreviations.resourcesResourceGroups}${environmentName}'
  location: location
  tags: allTags
}

module consumer '../../modules/spoke.bicep' = {
  scope: resourceGroup
  params: {
    location: location
    tags: allTags
    resourceToken: resourceToken
    spoke: network
    hostNames: union([hostName], flatten(map(ports, port => port.?hostNames ?? [])))
    linkServiceId: linkService
    requestMessage: requestMessage
  }
}

module jumpBox '../../modules/jump-box.bicep' = if (hasJump) {
  scope: resourceGroup
  params: {
    name: '${abbreviations.containerInstanceContainerGroups}${network.name}-${resourceToken}'
    location: location
    tags: allTags
    subnetId: consumer.outputs.jumpSubnetId
    dnsServers: network.?dnsServers ?? []
    jump: jump
  }
}

@description('The resource group that holds everything.')
output RESOURCE_GROUP_NAME string = resourceGroup.name

@description('Name of the jump box; empty without one.')
output SPOKE_JUMP_NAME string = hasJump ? jumpBox!.outputs.name : ''

@description('Everything that a probe needs to know of this deployment. What is behind the service is not the consumer\'s to know.')
output FWD_TOPOLOGY topologyType = {
  version: 1
  resourceGroup: resourceGroup.name
  spokes: [
    {
      name: network.name
      jump: hasJump ? jumpBox!.outputs.name : ''
      container: hasJump ? jumpBox!.outputs.containerName : ''
      privateEndpoint: {
        name: consumer.outputs.endpointName
        address: network.endpointAddress
      }
      hostName: '${hostName}.${network.dnsZoneName}'
      zone: network.dnsZoneName
    }
  ]
  forwards: map(ports, port => {
    name: port.name
    port: port.port
    targets: []
    hostNames: port.?hostNames ?? []
    balance: 'roundRobin'
    check: port.?check ?? 'tcp'
    checkPath: port.?checkPath ?? '/'
    identityHeader: ''
    serverName: ''
  })
}
