"""What a perfect choice among hypotheses would give."""

from engine.store import database, queries
from tests.support import runs


def test_the_oracle_compares_the_chosen_hypothesis_with_all_and_the_best(tmp_path):
    runs.add_hypotheses(runs.captioner_run(tmp_path / "results"))
    cursor = database.connect(tmp_path / "results")[0].cursor()
    found = queries.oracle(cursor, "demo").set_index(["beam_size", "metric"])
    assert list(found.index) == [(3, "cider"), (3, "clipscore"), (5, "cider"), (5, "clipscore")]
    three, five = found.loc[3, "cider"], found.loc[5, "cider"]
    assert (three.images, three.kept, three.chosen, three.average, three.best) == (12, 3, 0.5, 0.75, 1.5)
    assert (three.better, three.gain, three.gain_low, three.gain_high, three.lead) == (1, 1, 1, 1, -0.25)
    assert (five.better, five.gain, five.lead, five.lead_low) == (0, 0, 0.25, 0.25)
    assert found.loc[(3, "clipscore"), "best"] == 0.75
    case = queries.case_hypotheses(cursor, "demo", 3, "scene_02")
    assert case["rank"].tolist() == [1, 2, 3] and case.cider.tolist() == runs.WORTH[3]
