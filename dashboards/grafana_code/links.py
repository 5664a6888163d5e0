"""Where a click on a name leads: to the dashboard of that VM, segment or VFN, at the same time."""

from __future__ import annotations

from dashboards.grafana_code import frame, look

TO_VM = look.to_dashboard("Show ${__field.labels.vm}", frame.VM, vm="${__field.labels.vm}")
TO_VM_OF_ROW = look.to_dashboard("Show ${__data.fields.vm}", frame.VM, vm="${__data.fields.vm}")
TO_SEGMENT = look.to_dashboard(
    "Show ${__data.fields.src_segment}", frame.SEGMENT, segment="${__data.fields.src_segment}"
)
TO_OTHER_SEGMENT = look.to_dashboard(
    "Show ${__data.fields.dst_segment}", frame.SEGMENT, segment="${__data.fields.dst_segment}"
)
TO_SEGMENT_OF_ROW = look.to_dashboard(
    "Show ${__data.fields.segment}", frame.SEGMENT, segment="${__data.fields.segment}"
)
TO_VFN = look.to_dashboard("Show ${__field.labels.vfn}", frame.VFN, vfn="${__field.labels.vfn}")
TO_VFN_OF_ROW = look.to_dashboard("Show ${__data.fields.vfn}", frame.VFN, vfn="${__data.fields.vfn}")
