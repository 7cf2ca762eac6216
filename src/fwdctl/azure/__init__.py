"""Azure: credential, ARM access, and the resource types that fwdctl reads and changes."""
