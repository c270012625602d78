"""Templates and labels that all figures share."""

from dashboard import theme


def test_the_page_theme_picks_the_template():
    assert theme.template_of("dark") == theme.DARK
    assert theme.template_of("light") == theme.template_of(None) == theme.LIGHT


def test_labels_of_different_names_differ_wherever_the_names_do():
    names = ["a" * 40 + middle + "z" * 40 for middle in "bcd"] + ["a" * 40, "<b>", "<b>"]
    written = theme.labels(names, 20)
    assert len(set(written)) == len(set(names)) and max(map(len, written[:4])) <= 20
    assert written[-1] == written[-2] == "&lt;b&gt;"
