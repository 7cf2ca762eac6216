# Provider and consumer of a private link service, as people write them; packets get from the jump box to the server.
terraform {
  required_providers {
    azurerm = { source = "hashicorp/azurerm" }
  }
}

provider "azurerm" {
  features {}
}

resource "azurerm_resource_group" "rg" {
  name     = "rg-terraform"
  location = "westeurope"
}

resource "azurerm_virtual_network" "hub" {
  name                = "vnet-hub"
  location            = azurerm_resource_group.rg.location
  resource_group_name = azurerm_resource_group.rg.name
  address_space       = ["10.0.1.0/24"]
}

resource "azurerm_subnet" "shared" {
  name                                          = "shared"
  resource_group_name                           = azurerm_resource_group.rg.name
  virtual_network_name                          = azurerm_virtual_network.hub.name
  address_prefixes                              = ["10.0.1.0/26"]
  private_link_service_network_policies_enabled = false
}

resource "azurerm_lb" "hub" {
  name                = "lbi-hub"
  location            = azurerm_resource_group.rg.location
  resource_group_name = azurerm_resource_group.rg.name
  sku                 = "Standard"

  frontend_ip_configuration {
    name      = "frontend"
    subnet_id = azurerm_subnet.shared.id
  }
}

resource "azurerm_lb_backend_address_pool" "servers" {
  name            = "servers"
  loadbalancer_id = azurerm_lb.hub.id
}

resource "azurerm_lb_probe" "web" {
  name                = "web"
  loadbalancer_id     = azurerm_lb.hub.id
  protocol            = "Tcp"
  port                = 8000
  interval_in_seconds = 5
}

resource "azurerm_lb_rule" "web" {
  name                           = "web"
  loadbalancer_id                = azurerm_lb.hub.id
  frontend_ip_configuration_name = "frontend"
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.servers.id]
  probe_id                       = azurerm_lb_probe.web.id
  protocol                       = "Tcp"
  frontend_port                  = 8000
  backend_port                   = 8000
}

resource "azurerm_private_link_service" "hub" {
  name                                        = "pl-hub"
  location                                    = azurerm_resource_group.rg.location
  resource_group_name                         = azurerm_resource_group.rg.name
  load_balancer_frontend_ip_configuration_ids = [azurerm_lb.hub.frontend_ip_configuration[0].id]

  nat_ip_configuration {
    name      = "nat"
    subnet_id = azurerm_subnet.shared.id
    primary   = true
  }
}

resource "azurerm_network_interface" "server" {
  name                = "nic-server"
  location            = azurerm_resource_group.rg.location
  resource_group_name = azurerm_resource_group.rg.name

  ip_configuration {
    name                          = "ip"
    subnet_id                     = azurerm_subnet.shared.id
    private_ip_address_allocation = "Dynamic"
  }
}

resource "azurerm_network_interface_backend_address_pool_association" "server" {
  network_interface_id    = azurerm_network_interface.server.id
  ip_configuration_name   = "ip"
  backend_address_pool_id = azurerm_lb_backend_address_pool.servers.id
}

resource "azurerm_linux_virtual_machine" "server" {
  name                            = "server"
  location                        = azurerm_resource_group.rg.location
  resource_group_name             = azurerm_resource_group.rg.name
  size                            = "Standard_B1s"
  admin_username                  = "dev"
  admin_password                  = "not-A-secret-1"
  disable_password_authentication = false
  network_interface_ids           = [azurerm_network_interface.server.id]
  custom_data = base64encode(<<-EOT
    #cloud-config
    runcmd:
      - mkdir -p /srv/www && echo answered > /srv/www/index.html
      - cd /srv/www && (python3 -m http.server 8000 > /dev/null 2>&1 &)
    EOT
  )

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Standard_LRS"
  }

  source_image_reference {
    publisher = "Canonical"
    offer     = "ubuntu-24_04-lts"
    sku       = "server"
    version   = "latest"
  }
}

resource "azurerm_virtual_network" "app" {
  name                = "vnet-app"
  location            = azurerm_resource_group.rg.location
  resource_group_name = azurerm_resource_group.rg.name
  address_space       = ["10.1.0.0/19"]
}

resource "azurerm_subnet" "linked" {
  name                 = "linked"
  resource_group_name  = azurerm_resource_group.rg.name
  virtual_network_name = azurerm_virtual_network.app.name
  address_prefixes     = ["10.1.17.0/24"]
}

resource "azurerm_subnet" "jump" {
  name                 = "jump"
  resource_group_name  = azurerm_resource_group.rg.name
  virtual_network_name = azurerm_virtual_network.app.name
  address_prefixes     = ["10.1.16.0/24"]

  delegation {
    name = "aci"
    service_delegation {
      name    = "Microsoft.ContainerInstance/containerGroups"
      actions = ["Microsoft.Network/virtualNetworks/subnets/action"]
    }
  }
}

resource "azurerm_private_endpoint" "app" {
  name                = "pep-app"
  location            = azurerm_resource_group.rg.location
  resource_group_name = azurerm_resource_group.rg.name
  subnet_id           = azurerm_subnet.linked.id

  private_service_connection {
    name                           = "to-hub"
    private_connection_resource_id = azurerm_private_link_service.hub.id
    is_manual_connection           = false
  }
}

resource "azurerm_private_dns_zone" "app" {
  name                = "fwdctl.internal"
  resource_group_name = azurerm_resource_group.rg.name
}

resource "azurerm_private_dns_zone_virtual_network_link" "app" {
  name                = "app"
  private_dns_zone_id = azurerm_private_dns_zone.app.id
  virtual_network_id  = azurerm_virtual_network.app.id
}

resource "azurerm_private_dns_a_record" "server" {
  name                = "server"
  private_dns_zone_id = azurerm_private_dns_zone.app.id
  ttl                 = 60
  records             = [azurerm_private_endpoint.app.private_service_connection[0].private_ip_address]
}

resource "azurerm_container_group" "jump" {
  name                = "ci-app"
  location            = azurerm_resource_group.rg.location
  resource_group_name = azurerm_resource_group.rg.name
  os_type             = "Linux"
  ip_address_type     = "Private"
  subnet_ids          = [azurerm_subnet.jump.id]
  restart_policy      = "Never"

  container {
    name     = "jump"
    image    = "mcr.microsoft.com/azurelinux/base/python:3.12"
    cpu      = 1
    memory   = 1
    commands = ["sleep", "3600"]
    ports {
      port = 80
    }
  }
}
