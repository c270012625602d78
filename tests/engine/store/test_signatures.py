"""Whether two numbers are comparable: how their signatures differ."""

from engine.store.signatures import differences, entries

LEFT = 'CLIPScore|beam:3|images:600|data:c0|clip:ViT-B/32|prefix:"a|b: c"|rule:standard|version:0.1.0'


def test_a_signature_is_read_into_its_parts_bars_in_a_value_included():
    found = entries(LEFT)
    assert found[""] == "CLIPScore" and found["clip"] == "ViT-B/32"
    assert found["prefix"].startswith('"a')


def test_another_beam_size_is_not_reported():
    assert differences(LEFT, LEFT.replace("beam:3", "beam:1")) == []


def test_everything_else_is_reported_and_the_search_is_separate_from_the_measurement():
    other = LEFT.replace("images:600", "images:12").replace("rule:standard", "rule:study").replace("c0", "d1")
    found = differences(LEFT, other)
    assert [str(each) for each in found] == [
        "images scored: 600 vs. 12",
        "data (fingerprint): c0 vs. d1",
        "search rule: standard vs. study",
    ]
    assert [each.search for each in found] == [False, False, True]


def test_what_one_signature_omits_is_not_known():
    assert str(differences(LEFT, LEFT.replace("|rule:standard", ""))[0]) == "search rule: standard vs. not known"


def test_nothing_and_nonsense_are_read_without_an_error():
    assert differences("", "") == []
    assert differences("x|||", "x|y") != []


def test_an_omitted_option_of_the_search_has_its_default():
    found = differences(LEFT, LEFT + "|sample:True|top_p:0.9|no_repeat_ngram:0")
    assert [str(each) for each in found] == ["sample: False vs. True", "top p: 1.0 vs. 0.9"]
    assert all(each.search for each in found)
    imported = LEFT.replace("|rule:standard", "")
    assert "sample: not known vs. True" in map(str, differences(imported, LEFT + "|sample:True"))


def test_settings_of_a_captioner_with_a_prompt_are_no_difference_of_the_measurement():
    prompted = LEFT + "|prompt:0011223344556677|chat_template:none|revision:abc|dtype:float32|transformers:5.24.0"
    found = differences(LEFT, prompted)
    assert [each.what for each in found] == ["prompt (fingerprint)", "revision", "dtype", "version of transformers"]
    assert all(each.search for each in found) and str(found[1]) == "revision: none vs. abc"
    other = prompted.replace("0011", "ffff").replace("float32", "bfloat16")
    assert [each.what for each in differences(prompted, other)] == ["prompt (fingerprint)", "dtype"]
