"""The list of models: names, what they stand for, and that nothing half or unchecked gets in."""

from pathlib import Path

import pytest

from fbtasks.errors import CatalogueError, ConfigError, ModelUnsupported
from fbtasks.gpu.catalogue import Catalogue, is_name, sha256_of


def accept(copy: Path) -> None:
    """Checks nothing."""


@pytest.fixture
def models(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "data" / "models-added")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.onnx"
    path.write_bytes(b"one")
    return path


def left_over(models: Catalogue) -> list[str]:
    return [path.name for path in models.folder.iterdir() if path.suffix != ".onnx"]


@pytest.mark.parametrize("name", ["yolo11n", "a", "yolo11n-v1.2_b", "11", "a" * 64])
def test_a_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "..", "a b", "a.onnx", "a.ONNX", "a" * 65, "a\n", "é", "a\\b"])
def test_no_name(models: Catalogue, name: str) -> None:
    assert not is_name(name)
    with pytest.raises(CatalogueError, match="can be no model's name"):
        models.path(name)


def test_what_was_added_is_found_by_its_name(models: Catalogue, file: Path) -> None:
    assert models.names() == []
    kept = models.add(file, "mare", accept)
    file.unlink()
    assert models.names() == ["mare"]
    assert models.find(Path("mare")) == kept
    assert kept.read_bytes() == b"one"
    assert left_over(models) == []


def test_the_check_sees_the_copy_and_what_it_leaves_beside_goes_away(models: Catalogue, file: Path) -> None:
    def check(copy: Path) -> None:
        assert copy.name == "mare.onnx"
        assert copy.read_bytes() == b"one"
        (copy.parent / "prepared").mkdir()
        file.write_bytes(b"changed while it was checked")

    assert models.add(file, "mare", check).read_bytes() == b"one"
    assert left_over(models) == []


def test_what_is_refused_is_not_kept(models: Catalogue, file: Path) -> None:
    def refuse(copy: Path) -> None:
        raise ModelUnsupported(f"{copy.name}: wrong head")

    with pytest.raises(ModelUnsupported, match=r"mare\.onnx: wrong head"):
        models.add(file, "mare", refuse)
    assert list(models.folder.iterdir()) == []


def test_the_same_content_may_be_added_again(models: Catalogue, file: Path) -> None:
    models.add(file, "mare", accept)
    models.add(file, "mare", accept)
    assert models.holds("mare", sha256_of(file))


def test_another_content_needs_to_be_told_to_replace(models: Catalogue, file: Path) -> None:
    kept = models.add(file, "mare", accept)
    file.write_bytes(b"two")
    with pytest.raises(CatalogueError, match=r"another model 'mare'.*--name.*--replace"):
        models.add(file, "mare", accept)
    assert kept.read_bytes() == b"one"
    models.add(file, "mare", accept, replace=True)
    assert kept.read_bytes() == b"two"


def test_one_that_is_in_use_is_replaced_under_the_hands_of_its_user(models: Catalogue, file: Path) -> None:
    with models.add(file, "mare", accept).open("rb") as used:
        file.write_bytes(b"two")
        models.add(file, "mare", accept, replace=True)
        assert used.read() == b"one"


def test_a_path_stays_a_path(models: Catalogue, file: Path) -> None:
    models.add(file, "mare", accept)
    for path in (Path("mare.onnx"), Path("models/mare"), Path("/srv/mare"), file):
        assert models.find(path) == path


def test_a_file_without_suffix_is_found_when_the_list_has_no_such_name(
    models: Catalogue, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    Path("mare").write_bytes(b"bare")
    assert models.find(Path("mare")) == Path("mare")
    kept = models.add(file, "mare", accept)
    assert models.find(Path("mare")) == kept


def test_a_name_that_is_not_in_the_list_is_refused_with_the_nearest(models: Catalogue, file: Path) -> None:
    models.add(file, "yolo11n", accept)
    with pytest.raises(ConfigError, match=r"no model 'yolo11m' in the list \(did you mean 'yolo11n'\?\)"):
        models.find(Path("yolo11m"))


def test_a_file_that_is_not_there_is_named(models: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"absent\.onnx: No such file"):
        models.add(tmp_path / "absent.onnx", "mare", accept)
    assert models.names() == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, file: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(CatalogueError, match=r"cannot add .*some\.onnx: .*data"):
        Catalogue(tmp_path / "data" / "models-added").add(file, "mare", accept)
