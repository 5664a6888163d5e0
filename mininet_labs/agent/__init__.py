"""One process an endpoint: serves what the endpoint serves and makes the traffic that it makes.

It imports the standard library and dnspython, so that sixteen of them start within a second or two.
"""
