metadata name = 'Jump box'
metadata description = 'A container in a network, to test from. It costs only while it runs and ends by itself.'

import { jumpType } from '../types.bicep'

@description('Name of the container group.')
param name string

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

@description('Resource id of a subnet that is delegated to Azure Container Instances.')
param subnetId string

@description('DNS servers of the network, which a container does not inherit; empty for Azure\'s own.')
param dnsServers string[]

@description('Image and lifetime.')
param jump jumpType

var containerName = 'jump'
// A group in a network has to open a port; nothing listens on it.
var port = 80

// The box ends itself: soon, unless `fwdctl` writes into /tmp/fwdctl-life that somebody is at work (renew), or that
// the box is to stay for its whole lifetime. So one whose client was killed does not go on costing. The first process
// of a container gets no signal that it has no handler for.
var life = '''
trap 'exit 0' TERM INT
life=/tmp/fwdctl-life
left=$1
while [ $left -gt 0 ]; do
  word=
  if [ -s $life ]; then
    read -r word <$life
    : >$life
  fi
  case $word in
    renew) [ $left -gt $1 ] || left=$1 ;;
    stay) left=$2 ;;
  esac
  sleep 5 &
  wait $!
  left=$((left - 5))
done
'''

resource containerGroup 'Microsoft.ContainerInstance/containerGroups@2025-09-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    osType: 'Linux'
    sku: 'Standard'
    // Never: the group ends when its command ends, so that it costs nothing more. Always would start it again.
    restartPolicy: 'Never'
    subnetIds: [
      {
        id: subnetId
      }
    ]
    dnsConfig: empty(dnsServers) ? null : { nameServers: dnsServers }
    ipAddress: {
      type: 'Private'
      ports: [
        {
          port: port
          protocol: 'TCP'
        }
      ]
    }
    containers: [
      {
        name: containerName
        properties: {
          image: jump.image
          command: ['/bin/sh', '-c', life, 'sh', '${jump.?unattendedSeconds ?? 600}', '${jump.lifetimeSeconds}']
          ports: [
            {
              port: port
              protocol: 'TCP'
            }
          ]
          resources: {
            requests: {
              cpu: 1
              memoryInGB: 1
            }
          }
        }
      }
    ]
  }
}

@description('Name of the container group.')
output name string = containerGroup.name

@description('Name of the container in it.')
output containerName string = containerName
