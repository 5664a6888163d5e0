"""Floor 4: labs on Mininet and Open vSwitch. Never imported by the product."""
