param name string
param location string
param subnetId string

resource box 'Microsoft.ContainerInstance/containerGroups@2023-05-01' = {
  name: name
  location: location
  properties: {
    osType: 'Linux'
    restartPolicy: 'Never'
    subnetIds: [{ id: subnetId }]
    ipAddress: {
      type: 'Private'
      ports: [{ port: 80, protocol: 'TCP' }]
    }
    containers: [
      {
        name: 'tools'
        properties: {
          image: 'mcr.microsoft.com/azurelinux/base/python:3.12'
          command: ['/bin/sh', '-c', 'sleep 28800']
          ports: [{ port: 80, protocol: 'TCP' }]
          resources: {
            requests: { cpu: 1, memoryInGB: 1 }
          }
        }
      }
    ]
  }
}
