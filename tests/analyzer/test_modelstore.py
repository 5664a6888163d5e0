"""Versions of baselines: signed, checked before anything is unpickled, listed and put back."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from support.baselines import SHAPE, fitted, learned

from analyzer import modelstore
from analyzer.baseline import Baseline
from analyzer.models import bundle
from analyzer.models.signing import Signer, Trust
from analyzer.modelstore import ModelStore
from runtime.errors import ModelError

KEY = Signer.fresh()


@pytest.fixture(scope="module")
def base() -> Baseline:
    """Of five seconds of three VMs."""
    return fitted(learned(5))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", KEY)


def test_a_saved_baseline_comes_back(base: Baseline, store: ModelStore) -> None:
    """What is loaded judges exactly like what was saved; for another inventory there is none."""
    assert store.load("net") is None
    store.save(base, "learned")
    again = store.load("net")
    assert again is not None
    assert again.anchor is None
    values = np.random.default_rng(1).poisson(5, SHAPE).astype(float)
    assert np.array_equal(again.baseline.window_p(np.array([1]), values), base.window_p(np.array([1]), values))
    assert store.load("another net") is None


@pytest.mark.parametrize("name", [modelstore.MODEL, bundle.MANIFEST])
@pytest.mark.parametrize("at", [0, 100, -3])
def test_a_changed_file_is_never_loaded(base: Baseline, store: ModelStore, name: str, at: int) -> None:
    """One changed byte anywhere in model or manifest: refused, naming the file."""
    store.save(base, "learned")
    file = store.folder / "000001" / name
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="it was changed or") as error:
        store.load("net")
    assert str(file) in str(error.value)


class Mine:
    """What an attacker pickles."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._mark,)


def test_nothing_of_a_strangers_model_runs(base: Baseline, store: ModelStore, tmp_path: Path) -> None:
    """A model with a matching digest and a stranger's signature is not unpickled; its key trusted, it is."""
    stranger, mark = Signer.fresh(), tmp_path / "ran"
    store.save(base, "learned")
    good, _ = bundle.read_manifest(store.folder / "000001", Trust.in_keys([KEY.public]))
    bundle.write(
        store.folder / "000002", {modelstore.MODEL: pickle.dumps(Mine(mark))}, stranger, kind=modelstore.KIND,
        form=modelstore.FORMAT, features=good.features, inventory="net", training="",
    )  # fmt: skip
    with pytest.raises(ModelError, match="not signed by anybody who is trusted"):
        store.rollback(2)
    assert not mark.exists()
    with pytest.raises(ModelError, match="not a baseline"):
        ModelStore(store.folder, KEY, (stranger.public,)).rollback(2)
    assert mark.exists()


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"format": "x"}'])
def test_a_signed_manifest_that_says_nothing_is_named(base: Baseline, store: ModelStore, text: str) -> None:
    """Even where the signature holds, a senseless manifest is a ModelError, not a stack trace."""
    import base64

    store.save(base, "learned")
    (store.folder / "000001" / bundle.MANIFEST).write_text(text)
    (store.folder / "000001" / bundle.SIGNATURE).write_bytes(base64.b64encode(KEY.sign(text.encode())))
    with pytest.raises(ModelError, match=r"manifest\.json"):
        store.load("net")


def test_another_versions_model_is_refused(base: Baseline, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made with other libraries or features, however well signed, it does not fit this analyzer."""
    monkeypatch.setattr(bundle, "libraries", lambda: {"numpy": "0.1", "scikit-learn": "0.1"})
    store.save(base, "learned")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="another version"):
        store.load("net")
    assert "another version" in store.versions()[0].problem


def test_versions_are_listed_and_put_back(base: Baseline, store: ModelStore) -> None:
    """The newest is current, the first the anchor; rolling back changes the one, or both."""
    for _ in range(3):
        store.save(base, "learned on")
    assert [(v.number, v.current, v.anchor) for v in store.versions()] == [
        (1, False, True), (2, False, False), (3, True, False),
    ]  # fmt: skip
    loaded = store.load("net")
    assert loaded is not None
    assert loaded.anchor is not None
    store.rollback(2)
    assert store.current() == 2
    store.rollback(3, anchor=True)
    loaded = store.load("net")
    assert loaded is not None
    assert (loaded.number, loaded.anchor) == (3, None)
    with pytest.raises(ModelError, match="there are: 1, 2, 3"):
        store.rollback(9)


def test_old_versions_go_and_the_anchor_stays(base: Baseline, store: ModelStore) -> None:
    """However many are made, the anchor and the last few are kept."""
    for _ in range(modelstore.KEPT + 3):
        store.save(base, "learned on")
    kept = [version.number for version in store.versions()]
    assert kept[0] == 1
    assert kept[1:] == list(range(4, modelstore.KEPT + 4))


def test_another_inventory_gets_an_anchor_of_its_own(base: Baseline, store: ModelStore) -> None:
    """After VMs came or went the first baseline of the new network is its anchor."""
    store.save(base, "learned")
    store.save(fitted(learned(5), inventory="net with more"), "learned")
    assert [version.anchor for version in store.versions()] == [False, True]


def test_a_pointer_that_points_nowhere_is_named(base: Baseline, store: ModelStore) -> None:
    """`current` holding rubbish or a version that is gone is a clear error."""
    store.save(base, "learned")
    for text, words in (("x", "no version's number"), ("7", "cannot be read")):
        (store.folder / modelstore.CURRENT).write_text(text)
        with pytest.raises(ModelError, match=words):
            store.load("net")


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """The file has mode 0600 from the start; one that others may read is refused, and so is rubbish."""
    file = tmp_path / "state" / "model.key"
    first = Signer.of(file)
    assert Signer.of(file).public == first.public
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(ModelError, match="others may read this key"):
        Signer.of(file)
    file.chmod(0o600)
    file.write_text("no key")
    with pytest.raises(ModelError, match="holds no Ed25519 key"):
        Signer.of(file)


@pytest.mark.parametrize("text", ["", "x", "AAAA"])
def test_a_trusted_key_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    """A setting that is no public key is refused before anything is trusted."""
    with pytest.raises(ModelError, match=r"analyzer\.trusted_keys"):
        ModelStore(tmp_path, KEY, (text,))


def test_no_file_outside_the_folder_is_read(base: Baseline, store: ModelStore) -> None:
    """A manifest that names `../x`, though signed, is refused."""
    import base64

    store.save(base, "learned")
    file = store.folder / "000001" / bundle.MANIFEST
    said = json.loads(file.read_text())
    said["files"] = {"../x": "0"}
    file.write_text(json.dumps(said))
    (file.parent / bundle.SIGNATURE).write_bytes(base64.b64encode(KEY.sign(file.read_bytes())))
    with pytest.raises(ModelError, match="names a file elsewhere"):
        store.load("net")
