"""What a policy would do to flows that were recorded: exactly what `policies.reference` says of each, for millions.

Flows come as columns. Rules tell ends and services apart only so far as they name them, so all flows fall into few
classes (`ends`, `services`); each class is judged once (`judging`), and what is judged is counted (`tally`).
"""
