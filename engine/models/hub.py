"""Check quickly whether weights can be downloaded.

Without this check, the Hugging Face client retries for most of a minute before it reports a missing network.
"""

import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlparse

from huggingface_hub import constants


@contextmanager
def quiet_downloads() -> Generator[None]:
    """Make downloads fail at once if the hub is unreachable, without logging; the caller reports what is missing."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reachable()
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        constants.HF_HUB_OFFLINE = before


def reachable() -> bool:
    """Return whether a connection to the hub succeeds within two seconds."""
    host = urlparse(constants.ENDPOINT).hostname or ""
    try:
        socket.create_connection((host, 443), timeout=2).close()
    except OSError:
        return False
    return True
