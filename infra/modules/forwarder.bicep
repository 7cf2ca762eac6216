metadata name = 'Forwarders'
metadata description = 'An internal Standard load balancer over a scale set whose instances forward TCP with iptables.'

import { forwarderType, forwardType } from '../types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('The scale set.')
param forwarder forwarderType

@description('The forwarded ports.')
param forwards forwardType[]

@description('Resource id of the subnet of frontend and instances.')
param subnetId string

@description('Availability zones; empty in a region without zones.')
param availabilityZones string[]

@description('Name of the administrator.')
param adminUsername string

@description('SSH public key of the administrator.')
param sshPublicKey string

@description('cloud-init, base64. Its second line names the hash of the configuration in it.')
param cloudInit string

@description('Resource id of the workspace for diagnostics.')
param workspaceId string

var abbreviations = loadJsonContent('../abbreviations.json')
var loadBalancerName = '${abbreviations.networkLoadBalancersInternal}${resourceToken}'
var frontendName = 'frontend'
var poolName = 'forwarders'

var hashMarker = '# fwdctl-config-hash: '
var cloudInitLines = split(base64ToString(cloudInit), '\n')
var hashLine = length(cloudInitLines) > 1 ? cloudInitLines[1] : ''
var configHash = startsWith(hashLine, hashMarker) ? trim(replace(hashLine, hashMarker, '')) : 'unknown'

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
        // One frontend for all forwards: a link service supports only one.
        name: frontendName
        zones: availabilityZones
        properties: {
          privateIPAllocationMethod: 'Dynamic'
          subnet: {
            id: subnetId
          }
        }
      }
    ]
    backendAddressPools: [
      {
        name: poolName
      }
    ]
    probes: [
      for forward in forwards: {
        // The agent on the instance answers. If a probe were forwarded to a target, one failing target would make
        // every instance unhealthy.
        name: forward.name
        properties: {
          protocol: 'Http'
          port: forwarder.healthPort
          requestPath: '/forward/${forward.name}'
          intervalInSeconds: 5
          probeThreshold: 1
        }
      }
    ]
    loadBalancingRules: [
      for forward in forwards: {
        name: forward.name
        properties: {
          protocol: 'Tcp'
          frontendPort: forward.port
          backendPort: forward.port
          frontendIPConfiguration: {
            id: resourceId(
              'Microsoft.Network/loadBalancers/frontendIPConfigurations',
              loadBalancerName,
              frontendName
            )
          }
          backendAddressPool: {
            id: resourceId('Microsoft.Network/loadBalancers/backendAddressPools', loadBalancerName, poolName)
          }
          probe: {
            id: resourceId('Microsoft.Network/loadBalancers/probes', loadBalancerName, forward.name)
          }
          loadDistribution: 'Default'
          disableOutboundSnat: true
          enableFloatingIP: false
          enableTcpReset: true
          // The private link service ends an idle connection after 4 to 5 minutes in any case.
          idleTimeoutInMinutes: 5
        }
      }
    ]
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: loadBalancer
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

resource scaleSet 'Microsoft.Compute/virtualMachineScaleSets@2025-04-01' = {
  name: '${abbreviations.computeVirtualMachineScaleSets}${resourceToken}'
  location: location
  tags: union(tags, { 'fwdctl-config-hash': configHash })
  zones: availabilityZones
  sku: {
    name: forwarder.vmSize
    tier: 'Standard'
    capacity: forwarder.instanceCount
  }
  properties: {
    // Uniform, because automatic OS upgrades exist in this mode only.
    orchestrationMode: 'Uniform'
    overprovision: false
    singlePlacementGroup: true
    // Manual: a new cloud-init reaches an instance only by a reimage, which no upgrade mode does. Until an instance
    // is updated and reimaged, Azure shows that it is not on the latest model.
    upgradePolicy: {
      mode: 'Manual'
      rollingUpgradePolicy: {
        maxBatchInstancePercent: 34
        maxUnhealthyInstancePercent: 34
        maxUnhealthyUpgradedInstancePercent: 34
        pauseTimeBetweenBatches: 'PT30S'
        prioritizeUnhealthyInstances: true
      }
      automaticOSUpgradePolicy: {
        enableAutomaticOSUpgrade: forwarder.?automaticOsUpgrade ?? false
        disableAutomaticRollback: false
        useRollingUpgradePolicy: true
      }
    }
    automaticRepairsPolicy: {
      enabled: true
      gracePeriod: 'PT30M'
    }
    virtualMachineProfile: {
      osProfile: {
        // At most 9 characters of 15, as Azure appends six base-36 digits to form the host name.
        computerNamePrefix: 'fwd'
        adminUsername: adminUsername
        customData: cloudInit
        linuxConfiguration: {
          disablePasswordAuthentication: true
          ssh: {
            publicKeys: [
              {
                path: '/home/${adminUsername}/.ssh/authorized_keys'
                keyData: sshPublicKey
              }
            ]
          }
        }
      }
      securityProfile: {
        securityType: 'TrustedLaunch'
        uefiSettings: {
          secureBootEnabled: true
          vTpmEnabled: true
        }
      }
      diagnosticsProfile: {
        bootDiagnostics: {
          enabled: true
        }
      }
      storageProfile: {
        imageReference: forwarder.image
        osDisk: {
          createOption: 'FromImage'
          caching: 'ReadWrite'
          managedDisk: {
            storageAccountType: 'StandardSSD_LRS'
          }
        }
      }
      networkProfile: {
        networkInterfaceConfigurations: [
          {
            name: 'primary'
            properties: {
              primary: true
              // Destinations are rewritten in the guest, so the interface never sends for another address.
              enableIPForwarding: false
              ipConfigurations: [
                {
                  name: 'primary'
                  properties: {
                    primary: true
                    subnet: {
                      id: subnetId
                    }
                    loadBalancerBackendAddressPools: [
                      {
                        id: '${loadBalancer.id}/backendAddressPools/${poolName}'
                      }
                    ]
                  }
                }
              ]
            }
          }
        ]
      }
      extensionProfile: {
        extensions: [
          {
            name: 'health'
            properties: {
              publisher: 'Microsoft.ManagedServices'
              type: 'ApplicationHealthLinux'
              typeHandlerVersion: '1.0'
              autoUpgradeMinorVersion: true
              enableAutomaticUpgrade: true
              // /live is about the agent only. An outage of the targets must not make Azure repair the instances.
              settings: {
                protocol: 'http'
                port: forwarder.healthPort
                requestPath: '/live'
              }
            }
          }
        ]
      }
    }
  }
}

@description('Name of the load balancer.')
output loadBalancerName string = loadBalancer.name

@description('Resource id of the load balancer\'s frontend.')
output frontendId string = loadBalancer.properties.frontendIPConfigurations[0].id

@description('Address of the load balancer\'s frontend.')
output frontendAddress string = loadBalancer.properties.frontendIPConfigurations[0].properties.privateIPAddress

@description('Name of the scale set.')
output scaleSetName string = scaleSet.name
