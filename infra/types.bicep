metadata name = 'Types'
metadata description = 'What a user edits in main.parameters.json, and what the template hands over to fwdctl.'

@export()
@description('A subnet as the module for subnets makes it.')
type subnetType = {
  @description('Name of the subnet.')
  name: string

  @description('Its address range, in CIDR notation.')
  addressPrefix: string

  @description('The service that it is delegated to. Default none.')
  delegation: string?

  @description('Resource id of its NAT gateway. Default none.')
  natGatewayId: string?

  @description('Policies for link services; a link service takes its NAT addresses from a subnet without them only. Default Enabled.')
  linkServicePolicies: ('Enabled' | 'Disabled')?
}

@export()
@sealed()
@description('What a security group lets in or keeps out. Rules stand in the order of their priority.')
type inboundRuleType = {
  @description('Name of the rule.')
  name: string

  @description('What becomes of a connection.')
  access: ('Allow' | 'Deny')

  @description('Range or service tag that it comes from.')
  source: string

  @description('Range that it goes to.')
  destination: string

  @description('Its ports.')
  ports: string[]
}

@export()
@sealed()
@description('A subnet for what you add to a network yourself.')
type extraSubnetType = {
  @description('Name of the subnet, unique in its network.')
  @minLength(1)
  @maxLength(80)
  name: string

  @description('Its address range, in CIDR notation.')
  addressPrefix: string

  @description('The service that it is delegated to, such as Microsoft.Web/serverFarms. Default none.')
  delegation: string?
}

@export()
@sealed()
@description('A hub network that is there already; nothing of it is changed.')
type existingHubType = {
  @description('Resource id of the subnet of forwarders and load balancer.')
  subnetId: string

  @description('Resource id of the subnet of the hub jump box, delegated to Azure Container Instances. Default: no jump box.')
  jumpSubnetId: string?

  @description('Resource id of the subnet of the link service\'s NAT addresses, whose policies for link services are off. Default: the same as of the forwarders.')
  natSubnetId: string?
}

@export()
@sealed()
@description('A spoke network that is there already; it gets an endpoint and a name.')
type existingSpokeType = {
  @description('Resource id of the subnet of the private endpoint, in the region and subscription of the deployment.')
  endpointSubnetId: string

  @description('Resource id of the subnet of the spoke jump box, delegated to Azure Container Instances. Default: no jump box.')
  jumpSubnetId: string?

  @description('Resource id of the private DNS zone for the names, linked to the network already. Default: a zone of its own.')
  dnsZoneId: string?
}

@export()
@sealed()
@description('The hub network: the forwarders, their load balancer and the hub jump box.')
type hubType = {
  @description('Address range of the hub network, in CIDR notation.')
  addressPrefix: string

  @description('The network, if it is there already; the ranges are its own then.')
  existing: existingHubType?

  @description('How forwarders get out: through a NAT gateway of the template, not at all (none), or by what is there already (existing), such as a route table. They need no way out. Default natGateway, none with an existing network.')
  egress: ('natGateway' | 'none' | 'existing')?

  @description('Whether there is a jump box. Default true.')
  jump: bool?

  @description('Subnet of the forwarders, the load balancer and the private link service. The link service\'s NAT addresses come from it.')
  sharedSubnetPrefix: string

  @description('Subnet of the hub jump box, delegated to Azure Container Instances.')
  jumpSubnetPrefix: string

  @description('Range of the subnet existing.natSubnetId; forwarders take connections from there.')
  natSubnetPrefix: string?

  @description('More subnets, for what you add to the network.')
  extraSubnets: extraSubnetType[]?

  @description('DNS servers of the network, of its jump box too. Default: Azure\'s own.')
  dnsServers: string[]?

  @description('Resource id of a route table for every subnet. Default none.')
  routeTableId: string?
}

@export()
@sealed()
@description('A stand-in for one on-premise server.')
type serverType = {
  @description('Host name of the server, unique among the servers.')
  @minLength(1)
  @maxLength(40)
  name: string

  @description('Its fixed address in the stand-in network.')
  address: string

  @description('The TCP port that it answers on.')
  @minValue(1)
  @maxValue(65535)
  port: int
}

@export()
@sealed()
@description('The stand-in for the on-premise network, peered with the hub.')
type corpType = {
  @description('Address range of the stand-in network, in CIDR notation; its only subnet has the same range.')
  addressPrefix: string

  @description('The servers in it.')
  servers: serverType[]
}

@export()
@sealed()
@description('An isolated network whose workloads reach the forwarders through a private endpoint. Ranges of several spokes may overlap.')
type spokeType = {
  @description('Name of the spoke, unique among the spokes; lower-case letters, digits and hyphens.')
  @minLength(1)
  @maxLength(20)
  name: string

  @description('The network, if it is there already; it needs no ranges here then.')
  existing: existingSpokeType?

  @description('Whether there is a jump box. Default true.')
  jump: bool?

  @description('Address range of the spoke network, in CIDR notation.')
  addressPrefix: string?

  @description('Subnet for the control plane of a platform, e.g. of a Container Apps environment.')
  cpSubnetPrefix: string?

  @description('Subnet for workloads.')
  appsSubnetPrefix: string?

  @description('The service that the subnet for workloads is delegated to, such as Microsoft.App/environments. Default none.')
  appsDelegation: string?

  @description('Subnet of the spoke jump box, delegated to Azure Container Instances.')
  jumpSubnetPrefix: string?

  @description('Subnet of the private endpoint.')
  linkedSubnetPrefix: string?

  @description('Fixed address of the private endpoint in the linked subnet; the A record points to it.')
  endpointAddress: string

  @description('More subnets, for what you add to the network.')
  extraSubnets: extraSubnetType[]?

  @description('DNS servers of the network, of its jump box too. Default: Azure\'s own.')
  dnsServers: string[]?

  @description('Resource id of a route table for every subnet. Default none.')
  routeTableId: string?

  @description('Private DNS zone of this spoke, linked to it alone. Choose one that does not exist in public DNS: a linked zone hides it. Spokes that share a zone share the endpoint\'s address.')
  dnsZoneName: string
}

@export()
@sealed()
@description('One TCP port that is forwarded to servers outside Azure.')
type forwardType = {
  @description('Name of the forward, unique; lower-case letters, digits and hyphens. Also names its load balancer rule and probe.')
  @minLength(1)
  @maxLength(40)
  name: string

  @description('The port that clients connect to, unique among the forwards. A load balancing rule takes 1 to 65534.')
  @minValue(1)
  @maxValue(65534)
  port: int

  @description('Where connections go, each HOST:PORT: an IPv4 address, or a full name that the forwarders resolve in the hub network. The target port may differ from the listening one.')
  @minLength(1)
  targets: string[]

  @description('Host parts of the names that workloads use for this forward, in each spoke\'s zone. Default: hostName.')
  hostNames: string[]?

  @description('How connections spread over live targets: in turn, or by client address. Default roundRobin.')
  balance: ('roundRobin' | 'sourceHash')?

  @description('How forwarders and probes test a target: tcp a connection; http, https a GET; tls the answer to a ClientHello; mssql a pre-login; postgres an SSLRequest; banner servers that speak first (MySQL, SSH, SMTP); none: forwarders do not. Default tcp.')
  check: ('tcp' | 'http' | 'https' | 'tls' | 'mssql' | 'postgres' | 'banner' | 'none')?

  @description('Path of the GET when check is http or https. Default /.')
  checkPath: string?

  @description('When check is http or https: the response header in which each server names itself, such as X-Served-By. A probe reads it to say which servers answered. Default none.')
  @maxLength(100)
  identityHeader: string?

  @description('When check is https or tls: the name that the check asks for in the handshake (SNI). Default: a probe of a spoke asks for the name that workloads use, the forwarders for none.')
  @maxLength(253)
  serverName: string?
}

@export()
@sealed()
@description('A marketplace image.')
type imageType = {
  @description('Publisher, e.g. MicrosoftCBLMariner.')
  publisher: string

  @description('Offer, e.g. azure-linux-3.')
  offer: string

  @description('SKU; it must be a generation 2 image.')
  sku: string

  @description('Version, or latest.')
  version: string
}

@export()
@sealed()
@description('The forwarder scale set.')
type forwarderType = {
  @description('Number of instances; they spread over the availability zones.')
  @minValue(1)
  @maxValue(100)
  instanceCount: int

  @description('Size of an instance, also used for the stand-in servers.')
  vmSize: string

  @description('Image of an instance, also used for the stand-in servers. It must bring systemd, python3 (3.8 or newer) and iptables: nothing is installed at boot.')
  image: imageType

  @description('Local port on which the forwarder agent answers the load balancer\'s probes and the hub jump box. It must not be a forwarded port.')
  @minValue(1024)
  @maxValue(65535)
  healthPort: int

  @description('Whether the hub jump box subnet may open SSH to the forwarders.')
  allowSsh: bool

  @description('Whether Azure replaces OS disks, one instance after the other, when a newer image is published. Default false: the image must be on the list of images that support it, and its version latest.')
  automaticOsUpgrade: bool?

  @description('Whether the host encrypts disks and caches, of the stand-in servers too. Default false: the subscription must have registered the feature EncryptionAtHost of Microsoft.Compute.')
  encryptionAtHost: bool?
}

@export()
@sealed()
@description('Who may use the private link service, and how much fits through it.')
type linkServiceType = {
  @description('Who finds the service: rbac those who may read it, subscriptions those that are listed, anyone everybody who has its alias. Default subscriptions.')
  visibility: ('rbac' | 'subscriptions' | 'anyone')?

  @description('The subscriptions that find the service, with visibility subscriptions. Default the deployment\'s own.')
  subscriptions: string[]?

  @description('Subscriptions whose endpoints are approved without asking, out of those that find the service. Default the deployment\'s own, if it finds the service.')
  autoApproval: string[]?

  @description('Number of NAT addresses; each one carries 64,000 connections to each forwarder. It can grow, and never shrink. Default 1.')
  @minValue(1)
  @maxValue(8)
  natAddresses: int?

  @description('Names that consumers are shown for the service; managed private endpoints of some services take only these. Default none.')
  fqdns: string[]?
}

@export()
@sealed()
@description('Who is told when something fails or runs short: an address or a group; nobody where neither is given.')
type alertsType = {
  @description('E-mail address, for which an action group is made. Default none.')
  @maxLength(254)
  email: string?

  @description('Resource id of an action group that is there already. Default: one of the template.')
  actionGroupId: string?
}

@export()
@sealed()
@description('The jump boxes, one in the hub and one in each spoke.')
type jumpType = {
  @description('Container image. It needs sh, and python3, curl or wget for probing.')
  image: string

  @description('Seconds after which a jump box that was started with `fwdctl jump start` ends by itself, so that a forgotten one stops costing.')
  @minValue(60)
  lifetimeSeconds: int

  @description('Seconds after which a jump box ends by itself that nobody has kept with `fwdctl jump start` and that no fwdctl works with. Default 600.')
  @minValue(300)
  unattendedSeconds: int?
}

@export()
@description('Where the hub\'s parts are, as fwdctl reads it.')
type hubTopologyType = {
  @description('Name of the hub jump box container group.')
  jump: string

  @description('Name of the container in it.')
  container: string

  @description('The internal load balancer.')
  loadBalancer: {
    @description('Name of the load balancer.')
    name: string

    @description('Its frontend address.')
    address: string
  }

  @description('Name of the forwarder scale set, where there is one.')
  scaleSet: string?

  @description('Name of the private link service.')
  privateLinkService: string

  @description('Port of the forwarder agents\' /status.')
  healthPort: int?

  @description('Hash of what the forwarders should forward; an agent\'s /status tells that of what it forwards.')
  forwardsHash: string?
}

@export()
@description('Where a spoke\'s parts are, as fwdctl reads it.')
type spokeTopologyType = {
  @description('Name of the spoke.')
  name: string

  @description('Name of the spoke jump box container group.')
  jump: string

  @description('Name of the container in it.')
  container: string

  @description('The private endpoint.')
  privateEndpoint: {
    @description('Name of the private endpoint.')
    name: string

    @description('Its address.')
    address: string
  }

  @description('The name that workloads in the spoke connect to.')
  hostName: string

  @description('The private DNS zone that holds the name.')
  zone: string
}

@export()
@description('A forward with all defaults filled in.')
type forwardTopologyType = {
  @description('Name of the forward.')
  name: string

  @description('The port that clients connect to.')
  port: int

  @description('Where connections go, each HOST:PORT.')
  targets: string[]

  @description('Host parts of its own names in the spokes\' zones.')
  hostNames: string[]

  @description('How connections spread over live targets.')
  balance: string

  @description('How a forwarder tests a target.')
  check: string

  @description('Path of the GET when check is http or https.')
  checkPath: string

  @description('HTTP response header in which each server names itself; empty where there is none.')
  identityHeader: string

  @description('The name that a check asks for in a TLS handshake; empty where there is none.')
  serverName: string
}

@export()
@description('Everything that a probe needs to know of a deployment.')
type topologyType = {
  @description('Version of this shape.')
  version: int

  @description('The resource group.')
  resourceGroup: string

  @description('The hub, where it is known.')
  hub: hubTopologyType?

  @description('The spokes, in the order of the parameters.')
  spokes: spokeTopologyType[]

  @description('The forwards, in the order of the parameters.')
  forwards: forwardTopologyType[]
}
