"""Floor 3: the control process, the only importer of Ryu (`ryu_apps.wire` imports none)."""
