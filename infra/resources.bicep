metadata name = 'Resources'
metadata description = 'Everything in the resource group: hub, forwarders, link service, spokes, jump boxes, on-premise stand-in.'

import {
  alertsType
  corpType
  forwarderType
  forwardTopologyType
  forwardType
  hubTopologyType
  hubType
  jumpType
  linkServiceType
  spokeTopologyType
  spokeType
} from 'types.bicep'

@description('Azure region of all resources.')
param location string

@description('Tags of all resources.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('SSH public key of the administrator.')
param sshPublicKey string

@description('cloud-init of the forwarders, base64.')
param cloudInitForwarder string

@description('cloud-init of the stand-in servers, base64.')
param cloudInitOnPrem string

@description('The hub network.')
param hub hubType

@description('The stand-in for the on-premise network.')
param corp corpType

@description('Whether to create the stand-in for the on-premise network.')
param deployOnPremServers bool

@description('The spoke networks.')
param spokes spokeType[]

@description('The forwarded ports.')
param forwards forwardType[]

@description('Host part of the name that workloads connect to.')
param hostName string

@description('The forwarder scale set.')
param forwarder forwarderType

@description('The jump boxes.')
param jump jumpType

@description('Availability zones of the forwarders and of the load balancer\'s frontend.')
param availabilityZones string[]

@description('Who may use the private link service.')
param linkService linkServiceType

@description('Who is told when something fails or runs short.')
param alerts alertsType

@description('Name of the administrator on the virtual machines.')
param adminUsername string

var abbreviations = loadJsonContent('abbreviations.json')
var isNewHub = hub.?existing == null
var subnetId = isNewHub ? network!.outputs.sharedSubnetId : hub.?existing.?subnetId ?? ''
var hubJumpSubnetId = !(hub.?jump ?? true)
  ? ''
  : isNewHub ? network!.outputs.jumpSubnetId : hub.?existing.?jumpSubnetId ?? ''
var hasHubJump = (hub.?jump ?? true) && (isNewHub || !empty(hub.?existing.?jumpSubnetId))

module monitoring 'modules/monitoring.bicep' = {
  params: {
    name: '${abbreviations.operationalInsightsWorkspaces}${resourceToken}'
    location: location
    tags: tags
  }
}

module network 'modules/network.bicep' = if (isNewHub) {
  params: {
    location: location
    tags: tags
    resourceToken: resourceToken
    hub: hub
    forwardedPorts: map(forwards, forward => forward.port)
    healthPort: forwarder.healthPort
    allowSsh: forwarder.allowSsh
    workspaceId: monitoring.outputs.workspaceId
  }
}

module onPremise 'modules/on-premise.bicep' = if (deployOnPremServers && isNewHub) {
  params: {
    location: location
    tags: tags
    resourceToken: resourceToken
    corp: corp
    forwards: forwards
    hubNetworkName: network!.outputs.name
    hubAddressPrefix: hub.addressPrefix
    vmSize: forwarder.vmSize
    image: forwarder.image
    encryptionAtHost: forwarder.?encryptionAtHost ?? false
    adminUsername: adminUsername
    sshPublicKey: sshPublicKey
    cloudInit: cloudInitOnPrem
  }
}

module forwarders 'modules/forwarder.bicep' = {
  params: {
    location: location
    tags: tags
    resourceToken: resourceToken
    forwarder: forwarder
    forwards: forwards
    subnetId: subnetId
    inbound: concat([hub.sharedSubnetPrefix, hub.jumpSubnetPrefix], empty(hub.?natSubnetPrefix) ? [] : [hub.?natSubnetPrefix])
    availabilityZones: availabilityZones
    adminUsername: adminUsername
    sshPublicKey: sshPublicKey
    cloudInit: cloudInitForwarder
    workspaceId: monitoring.outputs.workspaceId
  }
}

module privateLinkService 'modules/private-link-service.bicep' = {
  params: {
    name: '${abbreviations.networkPrivateLinkServices}${resourceToken}'
    location: location
    tags: tags
    subnetId: hub.?existing.?natSubnetId ?? subnetId
    frontendId: forwarders.outputs.frontendId
    linkService: linkService
  }
}

module alertRules 'modules/alerts.bicep' = if (!empty(alerts.?email) || !empty(alerts.?actionGroupId)) {
  params: {
    tags: tags
    resourceToken: resourceToken
    alerts: alerts
    forwards: forwards
    loadBalancerId: forwarders.outputs.loadBalancerId
    scaleSetId: forwarders.outputs.scaleSetId
    linkServiceId: privateLinkService.outputs.resourceId
  }
}

module hubJump 'modules/jump-box.bicep' = if (hasHubJump) {
  params: {
    name: '${abbreviations.containerInstanceContainerGroups}hub-${resourceToken}'
    location: location
    tags: tags
    subnetId: hubJumpSubnetId
    dnsServers: hub.?dnsServers ?? []
    jump: jump
  }
}

module spokeNetworks 'modules/spoke.bicep' = [
  for spoke in spokes: {
    params: {
      location: location
      tags: tags
      resourceToken: resourceToken
      spoke: spoke
      hostNames: union([hostName], flatten(map(forwards, forward => forward.?hostNames ?? [])))
      linkServiceId: privateLinkService.outputs.resourceId
    }
  }
]

module spokeJumps 'modules/jump-box.bicep' = [
  for (spoke, index) in spokes: if ((spoke.?jump ?? true) && (spoke.?existing == null || !empty(spoke.?existing.?jumpSubnetId))) {
    params: {
      name: '${abbreviations.containerInstanceContainerGroups}${spoke.name}-${resourceToken}'
      location: location
      tags: tags
      subnetId: spokeNetworks[index].outputs.jumpSubnetId
      dnsServers: spoke.?dnsServers ?? []
      jump: jump
    }
  }
]

@description('Where the hub\'s parts are.')
output hub hubTopologyType = {
  jump: hasHubJump ? hubJump!.outputs.name : ''
  container: hasHubJump ? hubJump!.outputs.containerName : ''
  loadBalancer: {
    name: forwarders.outputs.loadBalancerName
    address: forwarders.outputs.frontendAddress
  }
  scaleSet: forwarders.outputs.scaleSetName
  privateLinkService: privateLinkService.outputs.name
  healthPort: forwarder.healthPort
  forwardsHash: forwarders.outputs.forwardsHash
}

@description('Resource id of the private link service.')
output linkServiceId string = privateLinkService.outputs.resourceId

@description('Alias of the private link service.')
output linkServiceAlias string = privateLinkService.outputs.alias

@description('Where the spokes\' parts are.')
output spokes spokeTopologyType[] = [
  for (spoke, index) in spokes: {
    name: spoke.name
    jump: empty(spokeNetworks[index].outputs.jumpSubnetId) ? '' : spokeJumps[index]!.outputs.name
    container: empty(spokeNetworks[index].outputs.jumpSubnetId) ? '' : spokeJumps[index]!.outputs.containerName
    privateEndpoint: {
      name: spokeNetworks[index].outputs.endpointName
      address: spoke.endpointAddress
    }
    hostName: '${hostName}.${spoke.dnsZoneName}'
    zone: spoke.dnsZoneName
  }
]

@description('The forwards with all defaults filled in.')
output forwards forwardTopologyType[] = [
  for forward in forwards: {
    name: forward.name
    port: forward.port
    targets: forward.targets
    hostNames: forward.?hostNames ?? []
    balance: forward.?balance ?? 'roundRobin'
    check: forward.?check ?? 'tcp'
    checkPath: forward.?checkPath ?? '/'
    identityHeader: forward.?identityHeader ?? ''
    serverName: forward.?serverName ?? ''
  }
]
