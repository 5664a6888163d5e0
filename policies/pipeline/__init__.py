"""The pipeline of a VFN as table entries: one room a table, `compile` puts them together.

`docs/architecture.md` ("Pipeline of a VFN") is the same in prose.
"""
