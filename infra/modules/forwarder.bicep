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

@description('Address ranges of the subnets from which forwarders take connections and questions, in CIDR notation.')
param inbound string[]

@description('Availability zones; empty in a region without zones.')
param availabilityZones string[]

@description('Name of the administrator.')
param adminUsername string

@description('SSH public key of the administrator.')
param sshPublicKey string

@description('cloud-init, base64. fwdctl\'s is gzip, whose comment names the hash of the programs in it.')
param cloudInit string

@description('Resource id of the workspace for diagnostics.')
param workspaceId string

var abbreviations = loadJsonContent('../abbreviations.json')
var loadBalancerName = '${abbreviations.networkLoadBalancersInternal}${resourceToken}'
var frontendName = 'frontend'
var poolName = 'forwarders'

// A gzip header with a comment; its text begins at byte 12, where a group of four base64 characters begins.
var comment = startsWith(cloudInit, 'H4sIEAAA') ? base64ToString(substring(cloudInit, 16, 48)) : ''
var hashMarker = 'fwdctl-config-hash: '
var configHash = startsWith(comment, hashMarker) ? substring(comment, length(hashMarker), 16) : 'unknown'

// What the agent forwards travels as user data, which reaches a machine while it runs; cloud-init does not.
var configuration = {
  version: 1
  healthPort: forwarder.healthPort
  inbound: inbound
  forwards: map(forwards, forward => {
    name: forward.name
    port: forward.port
    targets: forward.targets
    balance: forward.?balance ?? 'roundRobin'
    check: forward.?check ?? 'tcp'
    checkPath: forward.?checkPath ?? '/'
    serverName: forward.?serverName ?? ''
  })
}
var forwardsHash = uniqueString(string(configuration))

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
          // With the port: a forwarder that does not forward it yet is not healthy for it.
          requestPath: '/forward/${forward.name}/${forward.port}'
          intervalInSeconds: 5
          probeThreshold: 2
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
  tags: union(tags, { 'fwdctl-config-hash': configHash, 'fwdctl-forwards-hash': forwardsHash })
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
    // Manual: a new cloud-init reaches an instance only by a reimage, which no upgrade mode does, and new user data
    // by an update of the instance, which fwdctl's hook does after each deployment. The rolling policy is for the
    // automatic OS upgrades: one instance at a time (up to nine), and only while all others are healthy.
    upgradePolicy: {
      mode: 'Manual'
      rollingUpgradePolicy: {
        maxBatchInstancePercent: 20
        maxUnhealthyInstancePercent: 20
        maxUnhealthyUpgradedInstancePercent: 20
        pauseTimeBetweenBatches: 'PT1M'
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
      userData: base64(string(union({ hash: forwardsHash }, configuration)))
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
      securityProfile: union(
        {
          securityType: 'TrustedLaunch'
          uefiSettings: {
            secureBootEnabled: true
            vTpmEnabled: true
          }
        },
        forwarder.?encryptionAtHost ?? false ? { encryptionAtHost: true } : {}
      )
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

@description('Resource id of the load balancer.')
output loadBalancerId string = loadBalancer.id

@description('Resource id of the load balancer\'s frontend.')
output frontendId string = loadBalancer.properties.frontendIPConfigurations[0].id

@description('Address of the load balancer\'s frontend.')
output frontendAddress string = loadBalancer.properties.frontendIPConfigurations[0].properties.privateIPAddress

@description('Resource id of the scale set.')
output scaleSetId string = scaleSet.id

@description('Name of the scale set.')
output scaleSetName string = scaleSet.name

@description('Hash of what the scale set\'s model forwards, as the agents tell it.')
output forwardsHash string = forwardsHash
