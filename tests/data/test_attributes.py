"""CelebA's attributes: both forms of the file give the same marks, and the first wrong line is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataworth.data.attributes import read_attributes
from dataworth.errors import DataError

# As the data set has it: padded marks, a space after the names, and an empty line at the end.
TEXT = "3\nBald Eyeglasses Male \n000001.jpg -1  1  1\n000002.jpg -1 -1 -1\n000003.jpg  1 -1  1\n\n"
CSV = "image_id,Bald,Eyeglasses,Male\n000001.jpg,-1,1,1\n000002.jpg,-1,-1,-1\n000003.jpg,1,-1,1\n"
MARKS = [[False, True, True], [False, False, False], [True, False, True]]


def file(folder: Path, text: str | bytes, name: str = "list_attr_celeba.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT, TEXT.rstrip()])
def test_the_file_of_the_data_set(text: str, tmp_path: Path) -> None:
    found = read_attributes(file(tmp_path, text))
    assert found.ids.tolist() == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert found.names == ("Bald", "Eyeglasses", "Male")
    assert found.marks.dtype == np.bool_
    assert found.marks.tolist() == MARKS
    assert repr(found) == "Attributes(3 images, 3 attributes)"
    assert len(found) == 3
    with pytest.raises(ValueError, match="read-only"):
        found.marks[0] = True


@pytest.mark.parametrize(
    "text", [CSV, CSV.replace("\n", "\r\n"), CSV.replace(",", ", "), CSV.replace("Bald", '"Bald"')]
)
def test_the_same_as_comma_separated_values(text: str, tmp_path: Path) -> None:
    found = read_attributes(str(file(tmp_path, text, "list_attr_celeba.CSV")))
    assert found.names == ("Bald", "Eyeglasses", "Male")
    assert found.marks.tolist() == MARKS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(width=st.integers(1, 5), n=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_any_marks_come_back(width: int, n: int, seed: int, tmp_path: Path) -> None:
    marks = np.random.default_rng(seed).integers(0, 2, (n, width)).astype(bool)
    ids = [f"{at:06d}.jpg" for at in range(1, n + 1)]
    names = [f"A{at}" for at in range(width)]
    rows = [[name, *("1" if mark else "-1" for mark in row)] for name, row in zip(ids, marks, strict=True)]
    text = "\n".join([str(n), " ".join(names), *(" ".join(row) for row in rows)])
    table = "\n".join([",".join(["image_id", *names]), *(",".join(row) for row in rows)])
    for path in (file(tmp_path, text), file(tmp_path, table, "a.csv")):
        found = read_attributes(path)
        np.testing.assert_array_equal(found.marks, marks)
        assert (found.ids.tolist(), found.names) == (ids, tuple(names))


def test_marks_of_some_images_in_their_order(tmp_path: Path) -> None:
    found = read_attributes(file(tmp_path, TEXT))
    assert found.of(["img/000003.jpg", "000001.jpg", "000003.jpg"]).tolist() == [MARKS[2], MARKS[0], MARKS[2]]
    with pytest.raises(DataError, match=r"2 of 3 images have no attributes; the first is 'b\.jpg'"):
        found.of(["000001.jpg", "a/b.jpg", "c.jpg"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("Bald Male\n000001.jpg 1 1", "line 1 of .* must be the number of images and nothing else, not 'Bald Male'"),
        ("-1\nBald\n", "line 1 of .* must be the number of images"),
        ("²\nBald\n", "line 1 of .* must be the number of images"),
        ("\n3\nBald\n", "line 1 of .* must be the number of images"),
        ("3", "ends after line 1; line 2 names the attributes"),
        ("1\n\n000001.jpg 1\n", "line 2 of .* names no attributes"),
        ("1\nBald Male Bald\n000001.jpg 1 1 1", "line 2 of .* repeats 'Bald'"),
        ("0\nBald", "has no images"),
        (TEXT.replace("3\n", "4\n", 1), "line 1 of .* says that there are 4 images, but 3 follow"),
        (TEXT.replace("3\n", "2\n", 1), "says that there are 2 images, but 3 follow"),
        (TEXT.replace("-1 -1 -1", "-1 -1"), "line 4 of .* has 3 fields, but 4 are needed"),
        (TEXT.replace("-1 -1 -1", "-1 -1 -1 1"), "line 4 of .* has 5 fields"),
        (TEXT.replace("000002.jpg", "\n000002.jpg"), "line 4 of .* has 0 fields"),
        (TEXT.replace("1 -1  1\n\n", "1 0  1\n"), "line 5 of .* has '0' for 'Eyeglasses'; a mark is 1 or -1"),
        (TEXT.replace("1 -1  1\n\n", "1 -1 yes\n"), "line 5 of .* has 'yes' for 'Male'"),
        (TEXT.replace("000003", "000001"), r"line 5 of .* repeats '000001\.jpg' of line 3"),
        (b"3\nBald\n\xff\xfe", "is no text in UTF-8"),
    ],
)
def test_the_first_wrong_line_is_named(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_attributes(file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image_id,Bald", "has no images"),
        ("image_id\n000001.jpg", "line 1 of .* names no attributes"),
        ("image_id,Bald,Bald\n1.jpg,1,1", "line 1 of .* repeats 'Bald'"),
        ("image_id,Bald,,\n1.jpg,1,1,1", "line 1 of .* has an attribute without a name"),
        (CSV.replace("-1,-1,-1", "-1,-1"), "line 3 of .* has 3 fields, but 4 are needed"),
        (CSV.replace("-1,-1,-1", "-1,,-1"), "line 3 of .* has '' for 'Eyeglasses'"),
        (CSV.replace("000002.jpg", "\n000002.jpg"), "line 3 of .* has 0 fields"),
        (CSV.replace("000002.jpg", ""), "line 3 of .* has no file name"),
        (CSV.replace("000002", "000001"), r"line 3 of .* repeats '000001\.jpg' of line 2"),
        (CSV.replace("000002.jpg", '"000002.jpg'), "line 4 of .* cannot be read as CSV"),
    ],
)
def test_the_first_wrong_line_of_a_table_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_attributes(file(tmp_path, text, "a.csv"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"attributes file '.*gone\.txt' cannot be opened: No such file"):
        read_attributes(tmp_path / "gone.txt")
    with pytest.raises(DataError, match="cannot be opened: Is a directory"):
        read_attributes(tmp_path)
