metadata name = 'Monitoring'
metadata description = 'The workspace that diagnostic logs and metrics go to.'

@description('Name of the Log Analytics workspace.')
param name string

@description('Azure region.')
param location string

@description('Tags.')
param tags { *: string }

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
  }
}

@description('Resource id of the workspace.')
output workspaceId string = workspace.id
