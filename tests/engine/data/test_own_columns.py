from hypothesis import given
from hypothesis import strategies as st

from engine.data import own_columns, registry

TEXT = "image,caption,camera,note,altitude\n"


def test_few_different_values_are_conditions_and_other_texts_are_not():
    images = [{"camera": ["phone" if row % 2 else "drone"], "note": [f"text {row}"]} for row in range(60)]
    found = own_columns.conditions(images)
    assert found[0] == ("camera: drone",) and found[1] == ("camera: phone",)


def test_many_numbers_give_the_lowest_and_the_highest_fifth():
    found = own_columns.conditions([{"altitude": [str(row)]} for row in range(101)])
    assert found[20] == ("altitude at most 20",) and found[80] == ("altitude at least 80",)
    assert found[21] == found[79] == ()


def test_a_list_keeps_its_further_columns(tmp_path):
    rows = "".join(f"{row}.jpg,a dog,{'phone' if row % 2 else 'drone'},text {row},{row}\n" for row in range(30))
    (tmp_path / "list.csv").write_text(TEXT + rows, encoding="utf-8")
    (tmp_path / "0.jpg").write_bytes(b"")
    found = registry.load(tmp_path / "list.csv", None, "all", 0).examples
    stated = {each.image_id: each.conditions for each in found}
    assert stated["0"] == ("altitude at most 5.8", "camera: drone") and stated["7"] == ("camera: phone",)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.lists(st.none() | st.text() | st.floats() | st.lists(st.text()))))
)
def test_any_columns_give_one_tuple_per_image(images):
    found = own_columns.conditions(images)
    assert len(found) == len(images) and all(isinstance(each, tuple) for each in found)
