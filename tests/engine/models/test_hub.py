import logging

from huggingface_hub import constants

from engine.models import hub


def test_downloads_fail_at_once_where_the_hub_is_out_of_reach(monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda: False)
    before = constants.HF_HUB_OFFLINE
    with hub.quiet_downloads():
        assert constants.HF_HUB_OFFLINE is True
        assert not logging.getLogger().isEnabledFor(logging.ERROR)
    assert before == constants.HF_HUB_OFFLINE
    assert logging.getLogger().isEnabledFor(logging.ERROR)


def test_a_host_that_does_not_answer_is_out_of_reach(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "https://nowhere.invalid")
    assert not hub.reachable()
