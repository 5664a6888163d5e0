"""OpenFlow 1.3 as bytes: the engine's encoder and decoder. Imports neither Ryu nor eventlet."""
