"""Settings of several bridges as one transaction."""

from __future__ import annotations

from ryu_apps.bridges import joined


def test_rows_that_several_make_have_names_of_their_own() -> None:
    """Each bridge refers to its own; what only looks like a name stays."""
    one = ["--", "--id=@netflow", "create", "NetFlow", "targets=[]", "--", "set", "Bridge", "a", "netflow=[@netflow]"]
    other = ["--", "--id=@bridge", "get", "Bridge", "x", "--", "create", "Flow_Sample_Collector_Set", "bridge=@bridge"]
    arguments = joined([one, ["--", "set", "Bridge", "a@b", 'x="@controller"'], other, one])
    assert [word for word in arguments if "@" in word] == [
        "--id=@netflow0", "netflow=[@netflow0]",
        "a@b", 'x="@controller"',
        "--id=@bridge2", "bridge=@bridge2",
        "--id=@netflow3", "netflow=[@netflow3]",
    ]  # fmt: skip
    assert joined([]) == []
