"""The classifier of known attacks: trees served as scikit-learn grows them, trained, kept and asked."""

import collections
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from analyzer.models import columns, known, labelled, samples, training
from analyzer.models.classes import BENIGN, CLASSES
from analyzer.models.columns import COLUMNS, FLOW_COLUMNS, MISSING
from analyzer.models.samples import Samples
from analyzer.models.signing import Signer, Trust
from analyzer.models.trees import Common, Forest
from analyzer.observe import FEATURES
from analyzer.risk import MOST_ALONE, Verdict
from analyzer.windows import LENGTHS
from runtime.errors import ModelError

KEY = Signer.fresh()


@settings(max_examples=15)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_a_forest_says_what_scikit_learn_says(classes: int, seed: int) -> None:
    """On any data, also at the very thresholds, and after being written and read."""
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(size=(300, 4)), 1).astype(np.float32)
    kind = np.arange(300) % classes
    rng.shuffle(kind[classes:])
    model = HistGradientBoostingClassifier(max_iter=4, early_stopping=False).fit(rows, kind)
    forest = Forest.from_bytes(Forest.of(model).to_bytes())
    assert np.allclose(forest.probabilities(rows), model.predict_proba(rows), atol=1e-6)


@settings(max_examples=10)
@given(st.integers(0, 4), st.integers(1, 700), st.integers(0, 2**32 - 1))
def test_what_rows_have_in_common_is_asked_once(own: int, count: int, seed: int) -> None:
    """Wherever columns are cut into own ones and common ones, a forest says what it says of whole rows."""
    rng = np.random.default_rng(seed)
    train = rng.normal(size=(300, 4)).astype(np.float32)
    model = HistGradientBoostingClassifier(max_iter=4, early_stopping=False).fit(train, rng.permutation(300) % 3)
    common = Common(rng.normal(size=(7, 4 - own)).astype(np.float32), rng.integers(0, 7, count))
    rows = rng.normal(size=(count, own)).astype(np.float32)
    forest = Forest.of(model)
    whole = np.hstack([rows, common.rows[common.whose]])
    assert np.array_equal(forest.probabilities(rows, common), forest.probabilities(whole))


@pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY"])
def test_what_is_no_forest_is_refused(data: bytes) -> None:
    """Rubbish is a ValueError, and nothing is unpickled."""
    with pytest.raises(ValueError, match=r"."):
        Forest.from_bytes(data)


def test_a_tree_of_too_many_leaves_is_refused() -> None:
    """When it is made, not when it is asked."""
    rows = np.arange(100, dtype=np.float32)[:, None]
    kind = np.arange(100) % 2
    grown = HistGradientBoostingClassifier(
        max_iter=1, max_leaf_nodes=None, min_samples_leaf=1, early_stopping=False
    ).fit(rows, kind)
    with pytest.raises(ValueError, match="leaves"):
        Forest.of(grown)


COUNT = 30
"""Rows of a kind in a capture: enough for leaves, too few for scikit-learn to take quantiles of, which takes long."""


def capture(name: str, seed: int, attack: str | None, count: int = COUNT) -> Samples:
    """Benign rows around 1, and attack rows that lie elsewhere in one column of their own."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(3, 0.5, (2 * count if attack else count, len(COLUMNS))).astype(np.float32)
    kind = np.full(len(rows), BENIGN, object)
    if attack is not None:
        place = [found.name for found in CLASSES].index(attack)
        rows[count:, [place, len(FLOW_COLUMNS) + place]] += 6
        kind[count:] = attack
    return Samples(name, rows, kind, name)


@pytest.fixture(scope="module")
def parts() -> list[Samples]:
    """Two captures of scans, two of floods."""
    return [capture(f"{attack}{i}", i, attack) for i in (1, 2) for attack in ("scan", "flood")]


def test_attacks_are_named_in_captures_that_were_not_seen(parts: list[Samples]) -> None:
    """Where the same attack was in another capture it is named; the table adds up."""
    said: list[str] = []
    confusion = training.across(parts, 1, said.append)
    assert sum(confusion.counts.values()) == sum(len(part.rows) for part in parts)
    assert confusion.counts["scan", "scan"] == 2 * COUNT
    shares = confusion.shares()
    assert shares["unseen captures: attack named rightly"] > 0.99
    assert shares["unseen captures: benign called attack"] < 0.01
    assert "truth \\ said" in confusion.table()
    assert len(said) == 4


def test_a_class_left_out_of_all_captures_is_asked_about(parts: list[Samples]) -> None:
    """Each class is judged by a model that knows none of it; what is left cannot be trained on is not asked about."""
    found = training.without_family(parts, 1)
    assert set(found) == {"scan", "flood"}
    assert all(0 <= share < 0.5 for share in found.values())  # they lie elsewhere in columns of their own
    assert training.without_family([part for part in parts if "scan" in part.name], 1) == {}


def test_an_attack_of_one_capture_alone_cannot_be_named_without_it(parts: list[Samples]) -> None:
    """Left out, its class is unknown to the others: that is told as it is, not smoothed over."""
    confusion = training.across([*parts, capture("c2", 9, "c2")], 1, lambda _: None)
    assert ("c2", "c2") not in confusion.counts


@pytest.mark.parametrize(
    ("parts_of", "words"), [([], "no labelled flows"), (["calm"], "no attacks"), (["alone"], "no benign flows")]
)
def test_nothing_to_tell_apart_is_said(parts_of: list[str], words: str) -> None:
    """Without benign flows or without attacks there is no model, but a sentence that says why."""
    scan = capture("x", 1, "scan")
    made = {
        "calm": capture("calm", 1, None),
        "alone": Samples("alone", scan.rows[COUNT:], scan.kind[COUNT:], "alone"),
    }
    with pytest.raises(ModelError, match=words):
        training.fit([made[name] for name in parts_of], 1)


def test_a_model_comes_back_and_a_strangers_does_not(parts: list[Samples], tmp_path: Path) -> None:
    """Saved and loaded it says the same; signed by somebody else, or with a changed file, it is refused."""
    model = training.fit(parts, 1)
    known.save(tmp_path / "known", model, KEY, training.digest(parts), "test")
    again = known.load(tmp_path / "known", Trust.in_keys([KEY.public]))
    before, after = model.rows(parts[0].rows), again.rows(parts[0].rows)
    assert np.array_equal(before.kind, after.kind)
    assert np.array_equal(before.attack, after.attack)
    with pytest.raises(ModelError, match="not signed by anybody who is trusted"):
        known.load(tmp_path / "known", Trust.in_keys([Signer.fresh().public]))
    with (tmp_path / "known" / known.GATE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="it was changed or is damaged"):
        known.load(tmp_path / "known", Trust.in_keys([KEY.public]))


def test_a_classifier_that_must_not_be_used_is_left_alone(parts: list[Samples], tmp_path: Path) -> None:
    """The analyzer goes on without labels when the model is a stranger's or gone, and takes up a trusted one."""
    known.save(tmp_path / "known", training.fit(parts, 1), KEY, training.digest(parts), "test")
    assert known.taken_up(tmp_path / "known", [KEY.public]) is not None
    assert known.taken_up(tmp_path / "known", []) is None
    assert known.taken_up(tmp_path / "none", [KEY.public]) is None


def test_the_model_that_comes_with_dynseg_is_whole() -> None:
    """Signed by the release key, it sees the columns that are counted now, and says how it did on unseen captures."""
    shipped = known.taken_up(None, [])
    assert shipped is not None
    assert shipped.calibration["unseen captures: benign called attack"] > 0


def test_a_flow_alone_or_windows_alone_are_enough_to_ask(parts: list[Samples]) -> None:
    """Every row is learned whole and in its two halves, so a half is still named."""
    model = training.fit(parts, 1)
    scan = parts[0].rows[COUNT:].copy()
    for half in (slice(0, len(FLOW_COLUMNS)), slice(len(FLOW_COLUMNS), None)):
        rows = scan.copy()
        rows[:, half] = MISSING
        named = model.rows(rows)
        assert collections.Counter(named.kind.tolist()).most_common(1)[0][0] == model.names.index("scan")


def test_many_rows_are_named_as_few_are(parts: list[Samples]) -> None:
    """In two threads each row is called what it is called by itself, with or without what it has in common."""
    model, rng = training.fit(parts, 1), np.random.default_rng(3)
    rows = rng.normal(1, 2, (2 * known.WORTH_A_THREAD + 1, len(FLOW_COLUMNS))).astype(np.float32)
    common = Common(rng.normal(1, 2, (50, len(COLUMNS) - rows.shape[1])).astype(np.float32), np.arange(len(rows)) % 50)
    whole = np.hstack([rows, common.rows[common.whose]])
    few = [model.rows(whole[at : at + 1000]) for at in range(0, len(whole), 1000)]
    for many in (model.rows(rows, common), model.rows(whole)):
        for column, columns_of_few in zip(many, zip(*few, strict=True), strict=True):
            assert np.array_equal(column, np.concatenate(columns_of_few))


def test_a_label_joins_other_evidence_and_never_acts() -> None:
    """It is named only where the baseline finds the subject abnormal, raises risk to an alert, and confirms nothing."""
    values = np.ones((len(LENGTHS), 2, len(FEATURES)))
    always = Forest(
        *(np.array([0], np.int32), np.array([-1], np.int32), np.array([9], np.float32)),
        *(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.float32)),
    )
    model = known.KnownAttacks(always, always, ("scan",))
    calm = Verdict(1, 1, None, 100.0, 10.0, 0.5, (), confirmed=False)
    odd = replace(calm, subject=2, learned_p=1e-4)
    first, second = model.name([calm, odd], values)
    assert first == calm
    assert (second.behaviour, second.confirmed) == ("known:scan", False)
    assert 50 <= second.risk <= MOST_ALONE
    assert "look like a scan (T1046" in second.reasons[0]


def test_windows_of_whom_nothing_is_known_are_missing() -> None:
    """-1 from the analyzer stays -1; known ones become logarithms and shares."""
    values = np.ones((len(LENGTHS), 2, len(FEATURES)))
    values[:, 1] = -1
    rows = columns.of_windows(values)
    assert (rows[1] == MISSING).all()
    assert np.isclose(rows[0, 0], np.log(2))
    assert rows.shape[1] + len(FLOW_COLUMNS) == len(COLUMNS)


HEADER = (
    "start,end,duration,proto,src_ip,src_port,dst_ip,dst_port,src_pkts,dst_pkts,src_bytes,dst_bytes,syn,fin,rst,ack,psh,"
    "app,label,label_detail"
)


def test_samples_are_what_the_analyzer_saw(tmp_path: Path) -> None:
    """The last of 40 refused connections has all in its initiator's window, the first only those of its second."""
    lines = [
        f"{at},{at},0,tcp,10.0.0.1,4{i:04d},10.0.0.2,{i + 1},1,1,60,40,1,0,1,1,0,,malicious,portscan"
        for i, at in enumerate(100.05 + np.arange(40) / 10)
    ]
    path = tmp_path / "flows.csv"
    path.write_text("\n".join([HEADER, *lines]))
    taken = samples.take(labelled.read(str(path), []), 100, 1)
    flows = np.expm1(taken.rows[:, COLUMNS.index("in_services 10s")])
    assert flows[-1] == pytest.approx(40)
    assert flows[0] == pytest.approx(10)
    assert set(taken.kind) == {"scan"}
