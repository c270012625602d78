"""Whether published weights can be downloaded here, asked once and quickly.

Without this, the hub's client tries for most of a minute before it says that there is no network.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse

from huggingface_hub import constants


@contextmanager
def quiet_downloads() -> Iterator[None]:
    """Downloads inside fail at once where the hub is out of reach, and log nothing: the caller says what is missing."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reachable()
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        constants.HF_HUB_OFFLINE = before


def reachable() -> bool:
    """Whether the hub's name resolves and answers a connection within two seconds."""
    host = urlparse(constants.ENDPOINT).hostname or ""
    try:
        socket.create_connection((host, 443), timeout=2).close()
    except OSError:
        return False
    return True
