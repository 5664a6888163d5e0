// Five-minute points of everything but events, kept for 365 days; what was written, for 7.
// Made by `make dashboards`. Once, before the first run:
//   influx bucket create --name dynseg --retention 7d
//   influx bucket create --name dynseg_five_minutes --retention 365d
//   influx task create --file downsample.flux
option task = {name: "dynseg_five_minutes", every: 5m, offset: 1m}

points = from(bucket: "dynseg") |> range(start: -3 * task.every)

points
    |> filter(fn: (r) => contains(value: r._measurement + "/" + r._field, set: [
        "dynseg_flows/flows",
        "dynseg_flows/packets",
        "dynseg_flows/bytes",
        "dynseg_flows/reply_packets",
        "dynseg_flows/reply_bytes",
        "dynseg_flows/failed",
        "dynseg_vm/flows_out",
        "dynseg_vm/flows_in",
        "dynseg_vm/packets_out",
        "dynseg_vm/packets_in",
        "dynseg_vm/bytes_out",
        "dynseg_vm/bytes_in",
        "dynseg_vm/denied_out",
        "dynseg_vm/denied_in",
        "dynseg_vm/failed",
        "dynseg_segment/flows_out",
        "dynseg_segment/flows_in",
        "dynseg_segment/packets_out",
        "dynseg_segment/packets_in",
        "dynseg_segment/bytes_out",
        "dynseg_segment/bytes_in",
        "dynseg_segment/denied_out",
        "dynseg_segment/denied_in",
        "dynseg_segment/failed",
        "dynseg_vfn/flows",
        "dynseg_vfn/packets",
        "dynseg_vfn/bytes",
        "dynseg_verdicts/verdicts",
        "dynseg_rule_hits/allowed",
        "dynseg_rule_hits/denied",
        "dynseg_rule_hits/answers",
        "dynseg_rule_hits/observed",
        "dynseg_rule_hits/allowed_bytes",
        "dynseg_rule_hits/denied_bytes",
        "dynseg_rule_hits/answers_bytes",
        "dynseg_rule_hits/observed_bytes",
        "dynseg_enforcement/pushes",
        "dynseg_enforcement/push_seconds",
        "dynseg_enforcement/lost_entries",
        "dynseg_enforcement/strange_entries",
        "dynseg_enforcement/failures",
        "dynseg_rule_times/rules",
        "dynseg_rule_times/seconds",
        "dynseg_audit/rows",
        "dynseg_feedback/false_alarms",
        "dynseg_telemetry/datagrams",
        "dynseg_telemetry/records",
        "dynseg_telemetry/rubbish",
        "dynseg_telemetry/strangers",
        "dynseg_telemetry/shed",
        "dynseg_telemetry/misdated",
        "dynseg_telemetry/copies",
        "dynseg_telemetry/copies_dropped",
        "dynseg_telemetry/archived",
        "dynseg_telemetry/archive_dropped",
        "dynseg_telemetry/intervals_dropped",
        "dynseg_telemetry_loss/lost",
        "dynseg_process/cpu_seconds",
        "dynseg_writer/written",
        "dynseg_writer/bytes",
        "dynseg_writer/refused",
        "dynseg_writer/dropped",
        "dynseg_writer/retries",
    ]))
    |> aggregateWindow(every: task.every, fn: sum, createEmpty: false, timeSrc: "_start")
    |> to(bucket: "dynseg_five_minutes")

points
    |> filter(fn: (r) => contains(value: r._measurement + "/" + r._field, set: [
        "dynseg_vm/risk",
        "dynseg_segment/risk",
        "dynseg_verdicts/risk",
        "dynseg_outside/risk",
        "dynseg_enforcement/push_seconds_max",
        "dynseg_rule_times/seconds_max",
        "dynseg_telemetry/delay_seconds",
        "dynseg_telemetry/delay_seconds_max",
        "dynseg_process/lag_seconds",
        "dynseg_writer/write_seconds_max",
    ]))
    |> aggregateWindow(every: task.every, fn: max, createEmpty: false, timeSrc: "_start")
    |> to(bucket: "dynseg_five_minutes")

points
    |> filter(fn: (r) => contains(value: r._measurement + "/" + r._field, set: [
        "dynseg_enforcement/connected",
        "dynseg_enforcement/in_sync",
        "dynseg_enforcement/enforced_ratio",
        "dynseg_learning/judging",
        "dynseg_process/up",
    ]))
    |> aggregateWindow(every: task.every, fn: min, createEmpty: false, timeSrc: "_start")
    |> to(bucket: "dynseg_five_minutes")

points
    |> filter(fn: (r) => contains(value: r._measurement + "/" + r._field, set: [
        "dynseg_segment/at_risk",
        "dynseg_outside/subjects",
        "dynseg_rules/rules",
        "dynseg_enforcement/entries",
        "dynseg_enforcement/rules",
        "dynseg_detection/drift",
        "dynseg_detection/changed_vms",
        "dynseg_learning/samples",
        "dynseg_learning/left_out",
        "dynseg_process/memory_bytes",
        "dynseg_process/uptime_seconds",
        "dynseg_process/starts",
        "dynseg_process/waiting",
        "dynseg_writer/waiting",
        "dynseg_writer/clock_offset_seconds",
    ]))
    |> aggregateWindow(every: task.every, fn: last, createEmpty: false, timeSrc: "_start")
    |> to(bucket: "dynseg_five_minutes")
