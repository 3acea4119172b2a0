"""Sphinx's configuration: `sphinx-build -W docs docs/_build/html`, with no network needed."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import pytest_echoserver

project = "pytest-echoserver"
author = "the founders of pytest-echoserver"
project_copyright = f"2026, {author}"
version = release = pytest_echoserver.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "properties",
    "registry",
]
exclude_patterns = ["_build", "_diagrams"]
default_role = "py:obj"

html_theme = "furo"
html_title = "pytest-echoserver"
html_static_path = ["_static"]
html_css_files = ["diagrams.css"]
html_theme_options = {
    "source_repository": "https://github.com/pytest-echoserver/pytest-echoserver/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = "$ "

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__"}
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Elsewhere nothing is fetched: the pages are built without a network, only without links to others' pages.
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "pytest": ("https://docs.pytest.org/en/stable", None),
    }
