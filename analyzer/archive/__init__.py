"""The flow archive: every flow with what was decided and thought of it, in Parquet files by hour and VFN.

`recorder` makes rows of what the analyzer knows, `writer` takes them to `files` in a thread of its own, `query` reads.
"""
