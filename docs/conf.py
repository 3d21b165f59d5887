"""How Sphinx builds this site: ``sphinx-build -W docs OUT``."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from made_pages import write_pages

project = "cmbench"
author = "The cmbench developers"
version = release = version_of("cmbench")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"cmbench {version}"
html_copy_source = False
html_show_sourcelink = False
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def setup(app):
    """Write the pages that are made of others before pages are read."""
    app.connect("builder-inited", lambda app: write_pages(app.srcdir))
