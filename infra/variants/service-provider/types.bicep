metadata name = 'Types of the service provider'
metadata description = 'What a user edits in main.parameters.json.'

@export()
@sealed()
@description('A load balancer that is there already, and subnets in its network; empty for none.')
type existingType = {
  @description('Resource id of its frontend. The rules of this one frontend are what the link service offers.')
  frontendId: string?

  @description('Address of that frontend; a probe tests it from the jump box.')
  frontendAddress: string?

  @description('Resource id of the subnet of the NAT addresses, whose policies for link services are off.')
  natSubnetId: string?

  @description('Resource id of the subnet of a jump box, delegated to Azure Container Instances. Default: no jump box.')
  jumpSubnetId: string?
}

@export()
@sealed()
@description('The network of the machines.')
type networkType = {
  @description('Address range of the network, in CIDR notation.')
  addressPrefix: string

  @description('Subnet of machines and load balancer.')
  machineSubnetPrefix: string

  @description('Subnet of the link service\'s NAT addresses.')
  natSubnetPrefix: string

  @description('Subnet of the jump box, delegated to Azure Container Instances.')
  jumpSubnetPrefix: string
}

@export()
@sealed()
@description('A port of the service, and the machine that serves it.')
type serviceType = {
  @description('Name of the service, unique; it names the machine and the load balancing rule.')
  @minLength(1)
  @maxLength(40)
  name: string

  @description('The port.')
  @minValue(1)
  @maxValue(65534)
  port: int

  @description('Fixed address of the machine.')
  address: string

  @description('How a probe tests it, as in the forwards of the main template. Default tcp.')
  check: ('tcp' | 'http' | 'https' | 'tls' | 'mssql' | 'postgres' | 'banner' | 'none')?

  @description('Path of the GET when check is http or https. Default /.')
  checkPath: string?

  @description('cloud-init of the machine, as text; empty for what the image does by itself. Default: a small web server on the port.')
  cloudInit: string?
}
