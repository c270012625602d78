from engine.evaluation import provenance


def test_a_stopwatch_sums_by_name_and_continues_from_earlier_values(monkeypatch):
    ticks = iter([0.0, 2.0, 10.0, 13.0])
    monkeypatch.setattr(provenance.time, "perf_counter", lambda: next(ticks))
    watch = provenance.Stopwatch({"a": 1.0})
    for _ in range(2):
        with watch.measure("a"):
            pass
    assert watch.seconds == {"a": 6.0}


def test_versions_name_every_package_that_makes_numbers():
    found = provenance.versions()
    assert found["torch"].startswith("2.")
    assert {"python", "captionscope", "pycocoevalcap", "open_clip_torch"} <= set(found)


def test_the_hardware_contains_device_and_cores():
    found = provenance.hardware("cpu")
    assert found["device"] == "cpu"
    assert found["cores"] >= 1
