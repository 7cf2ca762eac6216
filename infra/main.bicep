targetScope = 'subscription'

metadata name = 'Private link port forwarding'
metadata description = 'Forwards TCP ports from isolated spoke networks to servers outside Azure: private endpoint, private link service, internal load balancer, forwarders with iptables.'

import { alertsType, corpType, forwarderType, forwardType, hubType, jumpType, linkServiceType, spokeType, topologyType } from 'types.bicep'

@description('Name of the azd environment; the resource group is rg-NAME.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Azure region of all resources.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('SSH public key of the administrator, one line. The preprovision hook sets it.')
param sshPublicKey string = ''

@description('cloud-init of the forwarders, base64. The preprovision hook renders it.')
param cloudInitForwarder string = ''

@description('cloud-init of the stand-in servers, base64. The preprovision hook renders it.')
param cloudInitOnPrem string = ''

@description('The hub network.')
param hub hubType = {
  addressPrefix: '10.0.1.0/24'
  sharedSubnetPrefix: '10.0.1.0/26'
  jumpSubnetPrefix: '10.0.1.64/26'
}

@description('The stand-in for the on-premise network.')
param corp corpType = {
  addressPrefix: '192.168.42.0/24'
  servers: [
    { name: 'server65', address: '192.168.42.65', port: 8000 }
    { name: 'server66', address: '192.168.42.66', port: 8000 }
  ]
}

@description('Whether to create the stand-in for the on-premise network. Set it to false where the hub already has a way to real servers.')
param deployOnPremServers bool = true

@description('The spoke networks; none where only others connect to the link service.')
param spokes spokeType[] = [
  {
    name: 'app'
    addressPrefix: '10.1.0.0/19'
    cpSubnetPrefix: '10.1.0.0/21'
    appsSubnetPrefix: '10.1.8.0/21'
    jumpSubnetPrefix: '10.1.16.0/24'
    linkedSubnetPrefix: '10.1.17.0/24'
    endpointAddress: '10.1.17.4'
    dnsZoneName: 'fwdctl.internal'
  }
]

@description('The forwarded ports.')
@minLength(1)
param forwards forwardType[] = [
  {
    name: 'web'
    port: 8000
    targets: ['192.168.42.65:8000', '192.168.42.66:8000']
    balance: 'roundRobin'
    check: 'http'
    checkPath: '/'
    identityHeader: 'X-Fwdctl-Server'
  }
]

@description('Host part of the name that workloads connect to, in each spoke\'s zone.')
param hostName string = 'onprem-server'

@description('The forwarder scale set.')
param forwarder forwarderType = {
  instanceCount: 3
  vmSize: 'Standard_B2ats_v2'
  image: { publisher: 'MicrosoftCBLMariner', offer: 'azure-linux-3', sku: 'azure-linux-3-gen2', version: 'latest' }
  healthPort: 18099
  allowSsh: false
  automaticOsUpgrade: true
}

@description('The jump boxes.')
param jump jumpType = {
  image: 'mcr.microsoft.com/azurelinux/base/python:3.12'
  lifetimeSeconds: 28800
}

@description('Availability zones of the forwarders and of the load balancer\'s frontend, which keeps those that it was made with. Default: three, none in a region without zones.')
param availabilityZones string[] = pickZones('Microsoft.Compute', 'virtualMachineScaleSets', location, 3)

@description('Who may use the private link service.')
param linkService linkServiceType = {}

@description('Who is told when something fails or runs short. Default nobody.')
param alerts alertsType = {}

@description('Tags of all resources, besides azd-env-name.')
param tags { *: string } = {}

@description('Name of the administrator on the virtual machines.')
param adminUsername string = 'fwdadmin'

var abbreviations = loadJsonContent('abbreviations.json')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var allTags = union(tags, { 'azd-env-name': environmentName })

// azd asks for parameters without a default before its preprovision hook has run, so the three values that the hook
// sets default to ''; an empty one is refused here, before anything is created from it.
var hint = 'The preprovision hook sets it: run "azd up" or "azd provision", or "azd hooks run preprovision" to see why it did not.'
var checkedSshPublicKey = empty(sshPublicKey) ? fail('sshPublicKey (SSH_PUBLIC_KEY) is empty. ${hint}') : sshPublicKey
var checkedCloudInitForwarder = empty(cloudInitForwarder)
  ? fail('cloudInitForwarder (CLOUD_INIT_FWD) is empty. ${hint}')
  : cloudInitForwarder
var checkedCloudInitOnPrem = deployOnPremServers && empty(cloudInitOnPrem)
  ? fail('cloudInitOnPrem (CLOUD_INIT_ONPREM) is empty. ${hint}')
  : cloudInitOnPrem

resource resourceGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${abbreviations.resourcesResourceGroups}${environmentName}'
  location: location
  tags: allTags
}

module resources 'resources.bicep' = {
  scope: resourceGroup
  params: {
    location: location
    tags: allTags
    resourceToken: resourceToken
    sshPublicKey: checkedSshPublicKey
    cloudInitForwarder: checkedCloudInitForwarder
    cloudInitOnPrem: checkedCloudInitOnPrem
    hub: hub
    corp: corp
    deployOnPremServers: deployOnPremServers
    spokes: spokes
    forwards: forwards
    hostName: hostName
    forwarder: forwarder
    jump: jump
    availabilityZones: availabilityZones
    linkService: linkService
    alerts: alerts
    adminUsername: adminUsername
  }
}

@description('The resource group that holds everything.')
output RESOURCE_GROUP_NAME string = resourceGroup.name

@description('The token that ends the resources\' names.')
output RESOURCE_TOKEN string = resourceToken

@description('Name of the hub jump box.')
output HUB_JUMP_NAME string = resources.outputs.hub.jump

@description('Name of the first spoke\'s jump box; empty without a spoke.')
output SPOKE_JUMP_NAME string = empty(spokes) ? '' : resources.outputs.spokes[0].jump

@description('Resource id of the private link service, by which others of this tenant connect.')
output LINK_SERVICE_ID string = resources.outputs.linkServiceId

@description('Alias of the private link service, by which anybody asks for a connection who may see it.')
output LINK_SERVICE_ALIAS string = resources.outputs.linkServiceAlias

@description('Everything that a probe needs to know of this deployment.')
output FWD_TOPOLOGY topologyType = {
  version: 1
  resourceGroup: resourceGroup.name
  hub: resources.outputs.hub
  spokes: resources.outputs.spokes
  forwards: resources.outputs.forwards
}
