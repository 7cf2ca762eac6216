metadata name = 'On-premise server stand-in'
metadata description = 'A small virtual machine with a fixed address, no public one and no way out: its cloud-init installs nothing.'

import { imageType, serverType } from '../types.bicep'

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('The server.')
param server serverType

@description('Resource id of its subnet.')
param subnetId string

@description('Size of the machine.')
param vmSize string

@description('Image of the machine.')
param image imageType

@description('Whether the host encrypts disks and caches.')
param encryptionAtHost bool

@description('Name of the administrator.')
param adminUsername string

@description('SSH public key of the administrator.')
param sshPublicKey string

@description('cloud-init, base64; empty for none.')
param cloudInit string

@description('Resource ids of the load balancer pools that it is a member of.')
param poolIds string[] = []

var abbreviations = loadJsonContent('../abbreviations.json')

resource networkInterface 'Microsoft.Network/networkInterfaces@2025-05-01' = {
  name: '${abbreviations.networkNetworkInterfaces}${server.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    ipConfigurations: [
      {
        name: 'primary'
        properties: {
          primary: true
          privateIPAllocationMethod: 'Static'
          privateIPAddress: server.address
          subnet: {
            id: subnetId
          }
          loadBalancerBackendAddressPools: [for poolId in poolIds: { id: poolId }]
        }
      }
    ]
  }
}

resource machine 'Microsoft.Compute/virtualMachines@2025-04-01' = {
  name: '${abbreviations.computeVirtualMachines}${server.name}-${resourceToken}'
  location: location
  tags: tags
  properties: {
    hardwareProfile: {
      vmSize: vmSize
    }
    // Not in the cloud-init: Azure refuses to change that on a machine that exists.
    userData: base64(string({ version: 1, ports: [server.port] }))
    osProfile: {
      computerName: server.name
      adminUsername: adminUsername
      customData: empty(cloudInit) ? null : cloudInit
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
      encryptionAtHost ? { encryptionAtHost: true } : {}
    )
    diagnosticsProfile: {
      bootDiagnostics: {
        enabled: true
      }
    }
    storageProfile: {
      imageReference: image
      osDisk: {
        createOption: 'FromImage'
        caching: 'ReadWrite'
        deleteOption: 'Delete'
        managedDisk: {
          storageAccountType: 'StandardSSD_LRS'
        }
      }
    }
    networkProfile: {
      networkInterfaces: [
        {
          id: networkInterface.id
          properties: {
            primary: true
            deleteOption: 'Delete'
          }
        }
      ]
    }
  }
}

@description('Name of the virtual machine.')
output name string = machine.name
