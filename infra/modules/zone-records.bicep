metadata name = 'Zone records'
metadata description = 'Names in a private DNS zone, which may be one of another resource group.'

@description('Name of the zone.')
param zoneName string

@description('Names of the A records.')
param hostNames string[]

@description('The address that all of them lead to.')
param address string

@description('Name of the azd environment; it marks the records, so that they can be told from those of others.')
param environmentName string

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' existing = {
  name: zoneName

  resource records 'A' = [
    for hostName in hostNames: {
      name: hostName
      properties: {
        ttl: 300
        metadata: {
          'azd-env-name': environmentName
        }
        aRecords: [
          {
            ipv4Address: address
          }
        ]
      }
    }
  ]
}
