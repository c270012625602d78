"""Two settings on the same images."""

import pytest

from engine.store import database, queries, records
from engine.store import tables as store
from tests.engine.store.queries.stored_values import scored
from tests.support import runs


def test_partners_share_images_and_the_run_itself_comes_first(partial):
    assert queries.partners(partial, "demo").values.tolist() == [["demo", 12], ["partial", 5]]
    assert queries.partners(partial, "partial").values.tolist() == [["partial", 6], ["demo", 5]]


def test_equal_ids_without_a_common_reference_are_counted(tmp_path):
    said = {"mine": [["a", "b"], ["c"], [], ["d"]], "theirs": [["b"], ["x"], ["y"], ["z"], ["w"]]}
    for run, references in said.items():
        folder = records.run_folder(tmp_path, run)
        rows = [{"image_id": str(image), "references": each} for image, each in enumerate(references)]
        store.write_table(folder, "images", store.table_of("images", rows))
        records.write_record(folder, {"run": run})
    cursor = database.connect(tmp_path)[0].cursor()
    assert queries.id_collisions(cursor, "mine", "theirs").images.item() == 2
    assert queries.id_collisions(cursor, "mine", "mine").images.item() == 0


def test_the_overlap_counts_both_sides_and_equal_captions(partial):
    assert queries.overlap(partial, "demo", 3, "partial", 0).values.tolist() == [[12, 6, 5, 0]]
    found = queries.overlap(partial, "demo", 3, "demo", 5).iloc[0]
    assert (found["left"], found["right"], found.shared, found.same) == (12, 12, 12, 12)


def test_pairs_are_the_stored_values_of_images_that_both_have(partial):
    found = queries.paired_scores(partial, "demo", 3, "partial", 0, "cider").set_index("image_id")
    assert sorted(found.index) == runs.image_ids()[:5] and set(found.shared) == {5}
    assert found.left.to_dict() == {name: scored(partial, "cider", beam=3)[name] for name in found.index}
    assert found.right.to_dict() == {name: scored(partial, "cider", "partial", 0)[name] for name in found.index}


def test_a_sample_of_pairs_is_the_same_every_time_and_counts_all(cursor):
    asked = ("demo", 3, "demo", 1, "cider", 4)
    first, second = queries.paired_scores(cursor, *asked), queries.paired_scores(cursor, *asked)
    assert len(first) == 4 and first.equals(second) and set(first.shared) == {12}


def test_the_largest_changes_come_first_and_only_in_their_direction(cursor):
    left, right = scored(cursor, "clipscore", beam=3), scored(cursor, "clipscore", beam=1)
    change = {name: left[name] - right[name] for name in left}
    gains = queries.paired_cases(cursor, "demo", 3, "demo", 1, "clipscore", True, 20)
    losses = queries.paired_cases(cursor, "demo", 3, "demo", 1, "clipscore", False, 20)
    assert gains.image_id.tolist() == sorted((n for n in change if change[n] > 0), key=lambda n: -change[n])
    assert losses.image_id.tolist() == sorted((n for n in change if change[n] < 0), key=lambda n: change[n])
    assert gains.file_name.iloc[0] == f"{gains.image_id.iloc[0]}.png"


@pytest.mark.parametrize("is_gain", [True, False])
def test_all_changed_images_are_listed_and_are_those_of_the_filter(cursor, is_gain):
    sides = ("demo", 3, "demo", 1, "cider", is_gain)
    shown = queries.paired_cases(cursor, *sides, limit=20)
    whole = queries.all_paired_cases(cursor, *sides)
    assert whole.equals(shown[whole.columns]) and len(whole) == shown.matching.iloc[0] > 0
    chosen = queries.Selection(versus=queries.Versus("demo", 1, "cider", is_gain))
    found = queries.selected_ids(cursor, "demo", 3, "cider", False, chosen)
    assert set(found.image_id) == set(whole.image_id)
    assert queries.case_count(cursor, "demo", 3, chosen).selected.item() == len(whole)


def test_a_comparison_with_another_run_keeps_only_shared_images(partial):
    ids = [
        set(
            queries.selected_ids(
                partial,
                "demo",
                3,
                "cider",
                False,
                queries.Selection(versus=queries.Versus("partial", 0, "cider", side)),
            ).image_id
        )
        for side in (True, False)
    ]
    assert not ids[0] & ids[1] and ids[0] | ids[1] <= set(runs.image_ids()[:5])
