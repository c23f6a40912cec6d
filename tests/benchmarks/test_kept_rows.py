"""A benchmark that was broken off goes on with the rows it has."""

from kept_rows import KeptRows


def test_rows_are_found_again_and_one_takes_the_place_of_its_like(tmp_path):
    path = tmp_path / "rows.jsonl"
    kept = KeptRows(path, ("seed", "how"))
    for seed, how, value in ((0, "joint", 1), (1, "joint", 2), (0, "single", 3), (0, "joint", 4)):
        kept.add({"seed": seed, "how": how, "value": value})

    again = KeptRows(path, ("seed", "how"))
    assert again.rows == kept.rows
    assert [row["value"] for row in again.find(how="joint")] == [2, 4]

    again.drop(again.find(seed=0))
    assert [row["value"] for row in KeptRows(path, ("seed", "how")).rows] == [2]
