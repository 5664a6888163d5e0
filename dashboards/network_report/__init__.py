"""`dynseg report`: what happened in the network, as one page that needs nothing but itself."""
