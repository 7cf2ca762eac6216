targetScope = 'subscription'

metadata name = 'Provider of a link service'
metadata description = 'A link service before a load balancer whose machines serve by themselves, without forwarders: an existing one, or two machines to try it with.'

import { imageType, jumpType, linkServiceType, topologyType } from '../../types.bicep'
import { existingType, networkType, serviceType } from 'types.bicep'

@description('Name of the azd environment; the resource group is rg-NAME.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region, that of an existing load balancer.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('A load balancer that is there already; nothing of it is changed, and no machine is made.')
param existing existingType = {}

@description('The ports that the load balancer has rules for. Without an existing one, each gets a machine.')
@minLength(1)
param services serviceType[]

@description('The network of the machines.')
param network networkType = {
  addressPrefix: '10.2.0.0/24'
  machineSubnetPrefix: '10.2.0.0/26'
  natSubnetPrefix: '10.2.0.64/26'
  jumpSubnetPrefix: '10.2.0.128/26'
}

@description('Who may use the service. Approve each request by hand unless autoApproval names its subscription.')
param linkService linkServiceType = {
  visibility: 'anyone'
  autoApproval: []
}

@description('SSH public key of the administrator of the machines, one line.')
param sshPublicKey string = ''

@description('Name of the administrator of the machines.')
param adminUsername string = 'fwdadmin'

@description('Size of a machine.')
param vmSize string = 'Standard_B2ats_v2'

@description('Image of a machine.')
param image imageType = {
  publisher: 'MicrosoftCBLMariner'
  offer: 'azure-linux-3'
  sku: 'azure-linux-3-gen2'
  version: 'latest'
}

@description('Availability zones of the load balancer\'s frontend. Default: three, none in a region without zones.')
param availabilityZones string[] = pickZones('Microsoft.Compute', 'virtualMachines', location, 3)

@description('The jump box.')
param jump jumpType = {
  image: 'mcr.microsoft.com/azurelinux/base/python:3.12'
  lifetimeSeconds: 28800
}

@description('Tags of all resources, besides azd-env-name.')
param tags { *: string } = {}

var abbreviations = loadJsonContent('../../abbreviations.json')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var isNew = empty(existing)
var allTags = union(tags, { 'azd-env-name': environmentName })

resource resourceGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${abbreviations.resourcesResourceGroups}${environmentName}'
  location: location
  tags: allTags
}

module machines 'machines.bicep' = if (isNew) {
  scope: resourceGroup
  params: {
    location: location
    tags: allTags
    resourceToken: resourceToken
    network: network
    services: services
    sshPublicKey: empty(sshPublicKey) ? fail('sshPublicKey is empty: the machines need it.') : sshPublicKey
    adminUsername: adminUsername
    vmSize: vmSize
    image: image
    availabilityZones: availabilityZones
  }
}

var frontendId = isNew
  ? machines!.outputs.frontendId
  : existing.?frontendId ?? fail('existing.frontendId is missing.')
var natSubnetId = isNew
  ? machines!.outputs.natSubnetId
  : existing.?natSubnetId ?? fail('existing.natSubnetId is missing.')
var jumpSubnetId = isNew ? machines!.outputs.jumpSubnetId : existing.?jumpSubnetId ?? ''

module privateLinkService '../../modules/private-link-service.bicep' = {
  scope: resourceGroup
  params: {
    name: '${abbreviations.networkPrivateLinkServices}${resourceToken}'
    location: location
    tags: allTags
    subnetId: natSubnetId
    frontendId: frontendId
    linkService: linkService
  }
}

module jumpBox '../../modules/jump-box.bicep' = if (isNew || !empty(existing.?jumpSubnetId)) {
  scope: resourceGroup
  params: {
    name: '${abbreviations.containerInstanceContainerGroups}${resourceToken}'
    location: location
    tags: allTags
    subnetId: jumpSubnetId
    dnsServers: []
    jump: jump
  }
}

@description('The resource group that holds everything.')
output RESOURCE_GROUP_NAME string = resourceGroup.name

@description('Name of the jump box; empty without one.')
output HUB_JUMP_NAME string = empty(jumpSubnetId) ? '' : jumpBox!.outputs.name

@description('Resource id of the private link service, by which others of this tenant connect.')
output LINK_SERVICE_ID string = privateLinkService.outputs.resourceId

@description('Alias of the private link service, by which anybody asks for a connection who may see it.')
output LINK_SERVICE_ALIAS string = privateLinkService.outputs.alias

@description('Everything that a probe needs to know of this deployment.')
output FWD_TOPOLOGY topologyType = {
  version: 1
  resourceGroup: resourceGroup.name
  hub: {
    jump: empty(jumpSubnetId) ? '' : jumpBox!.outputs.name
    container: empty(jumpSubnetId) ? '' : jumpBox!.outputs.containerName
    loadBalancer: {
      name: split(frontendId, '/frontendIPConfigurations/')[0]
      address: isNew ? machines!.outputs.frontendAddress : existing.?frontendAddress ?? ''
    }
    privateLinkService: privateLinkService.outputs.name
  }
  spokes: []
  forwards: map(services, service => {
    name: service.name
    port: service.port
    targets: ['${service.address}:${service.port}']
    hostNames: []
    balance: 'roundRobin'
    check: service.?check ?? 'tcp'
    checkPath: service.?checkPath ?? '/'
    identityHeader: ''
    serverName: ''
  })
}
