"""Models as files that can be trusted, and the supervised model of known attacks.

`signing` and `bundle` know how a folder of model files is signed and checked; `trees` serves a forest from plain
arrays; `classes` says what known attacks there are and `columns` what of traffic is looked at; `labelled`, `samples`
and `training` make the forests from labelled flows; `known` asks them.
"""
