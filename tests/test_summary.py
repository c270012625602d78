from pathlib import Path

from engine import store, summary


def test_the_summary_says_scores_intervals_and_the_next_command(full_results):
    text = summary.text(full_results, "demo")
    record = store.read_record(store.run_folder(full_results, "demo"))
    for size in record["beam_sizes"]:
        assert f"\n{size:>8}  " in text
    for part in ("CIDEr", "CLIPScore", "±", "95 % bootstrap interval", "set aside: 1 photos"):
        assert part in text
    assert text.endswith(f"next: CAPTIONSCOPE_RESULTS={full_results} streamlit run dashboard/app.py")


def test_a_number_is_the_one_the_store_holds(full_results):
    rows = store.read_table(store.run_folder(full_results, "demo"), "corpus_scores").to_pylist()
    text = summary.text(full_results, "demo")
    for row in rows:
        assert f"{row['value']:.3f}" in text


def test_an_imported_run_is_called_imported_and_partial_ones_say_of_how_many(full_results):
    names = [run.name for run in store.find_runs(full_results)[0] if run.record["kind"] == "predictions"]
    assert "imported" in summary.text(full_results, names[0])
    assert summary._what({"data": {"images": 3, "of_images": 9, "name": "x", "split": "val"}, "partial": True}) == (
        "3 images (partial: of 9) of x val"
    )


def test_the_default_results_folder_needs_no_variable():
    assert summary._dashboard(Path("results")) == "streamlit run dashboard/app.py"
