metadata name = 'Alerts'
metadata description = 'Tells somebody when forwarders fail, ports or connections run short, or connections to the link service change.'

import { alertsType, forwardType } from '../types.bicep'

@description('Tags.')
param tags { *: string }

@description('Token that ends the resources\' names.')
param resourceToken string

@description('Who is told.')
param alerts alertsType

@description('The forwarded ports.')
param forwards forwardType[]

@description('Resource id of the load balancer.')
param loadBalancerId string

@description('Resource id of the scale set.')
param scaleSetId string

@description('Resource id of the private link service.')
param linkServiceId string

var abbreviations = loadJsonContent('../abbreviations.json')
var isOwnGroup = empty(alerts.?actionGroupId)
var groupId = isOwnGroup ? actionGroup.id : alerts.?actionGroupId ?? ''
var linkOperations = 'Microsoft.Network/privateLinkServices/privateEndpointConnections'

// One forwarder opens 64,000 connections to one target; a host of Azure tracks 500,000 for a machine. Both from 80 % on.
var fewestTargets = min(map(forwards, forward => length(forward.targets)))
var mostFlows = min([51200 * fewestTargets, 400000])

var rules = [
  {
    name: 'probes'
    description: 'A forwarder does not answer the load balancer: `fwdctl probe all` says why.'
    severity: 1
    scope: loadBalancerId
    namespace: 'Microsoft.Network/loadBalancers'
    metric: 'DipAvailability'
    operator: 'LessThan'
    threshold: 100
    aggregation: 'Average'
  }
  {
    name: 'nat-ports'
    description: 'A NAT address of the private link service runs out of ports: raise linkService.natAddresses.'
    severity: 2
    scope: linkServiceId
    namespace: 'Microsoft.Network/privateLinkServices'
    metric: 'PLSNatPortsUsage'
    operator: 'GreaterThan'
    threshold: 80
    aggregation: 'Maximum'
  }
  {
    name: 'flows'
    description: 'A forwarder carries so many connections that new ones will fail soon: raise forwarder.instanceCount.'
    severity: 2
    scope: scaleSetId
    namespace: 'Microsoft.Compute/virtualMachineScaleSets'
    metric: 'Inbound Flows'
    operator: 'GreaterThan'
    threshold: mostFlows
    aggregation: 'Maximum'
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = if (isOwnGroup) {
  name: '${abbreviations.insightsActionGroups}${resourceToken}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'fwdctl'
    enabled: true
    emailReceivers: [
      {
        name: 'email'
        emailAddress: alerts.?email ?? ''
        useCommonAlertSchema: true
      }
    ]
  }
}

resource metricAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for rule in rules: {
    name: '${abbreviations.insightsMetricAlerts}${rule.name}-${resourceToken}'
    location: 'global'
    tags: tags
    properties: {
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [rule.scope]
      evaluationFrequency: 'PT1M'
      windowSize: 'PT5M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: rule.name
            metricNamespace: rule.namespace
            metricName: rule.metric
            operator: rule.operator
            threshold: rule.threshold
            timeAggregation: rule.aggregation
          }
        ]
      }
      actions: [
        {
          actionGroupId: groupId
        }
      ]
    }
  }
]

// No metric knows the state of a connection; the activity log has who approved, rejected or removed one.
resource connections 'Microsoft.Insights/activityLogAlerts@2020-10-01' = {
  name: '${abbreviations.insightsActivityLogAlerts}connections-${resourceToken}'
  location: 'global'
  tags: tags
  properties: {
    description: 'A connection to the private link service was approved, rejected or removed: `fwdctl link list` shows them.'
    enabled: true
    scopes: [resourceGroup().id]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'Administrative'
        }
        {
          anyOf: [
            {
              field: 'operationName'
              equals: '${linkOperations}/write'
            }
            {
              field: 'operationName'
              equals: '${linkOperations}/delete'
            }
            {
              field: 'operationName'
              equals: 'Microsoft.Network/privateEndpoints/delete'
            }
          ]
        }
      ]
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: groupId
        }
      ]
    }
  }
}
