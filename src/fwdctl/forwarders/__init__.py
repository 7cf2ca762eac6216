"""What is done to the forwarders of a deployment: handing on what they shall forward."""
