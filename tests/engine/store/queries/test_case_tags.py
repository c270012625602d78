"""Failure tags with their examples."""

from engine.store import queries


def test_tags_come_with_their_first_case_and_its_evidence(cursor):
    found = queries.tag_examples(cursor, "demo", 1)
    assert found[["tag", "images", "image_id"]].values.tolist() == [["wrong colour", 3, "scene_01"]]
    assert found.evidence.tolist() == ["the references name another colour"]
