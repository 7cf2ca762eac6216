"""What az and azd need to reach the lab: certificates, a profile, a proxy."""
