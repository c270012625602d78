"""Entry point of `streamlit run dashboard/app.py`: the server, which answers only requests to its own address.

`page.py` draws the pages. The settings are in `.streamlit/config.toml` beside this file, where Streamlit finds them
from every folder.
"""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard import serving

serving.check_address()
app = st.App(Path(__file__).with_name("page.py"), middleware=[Middleware(serving.KnownHosts)])
