"""Flows that others recorded: Zeek's conn.log, argus' binetflow, packet captures -> the analyzer's own flow batch.

`files` finds out what a file is and reads it; `zeek`, `argus` and `capture` each know one format; `columns` is what
they all make. A line or packet that cannot be read is counted and named, and costs nothing but itself.
"""
