// A provider and a consumer as other people write them: the link service on the second frontend, a rule for every port,
// the endpoint in another group, forwarders whose cloud-init knows nothing of this project.
targetScope = 'subscription'

param location string = deployment().location

resource providerGroup 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-provider'
  location: location
}

resource consumerGroup 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-consumer'
  location: location
}

module provider 'provider.bicep' = {
  scope: providerGroup
  params: { location: location }
}

module consumer 'consumer.bicep' = {
  scope: consumerGroup
  params: {
    location: location
    serviceId: provider.outputs.serviceId
  }
}
