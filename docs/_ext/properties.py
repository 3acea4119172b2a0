"""Reads the docstring of a property as that of a method: as sentences and sections.

napoleon takes it for an attribute's, ``type: description``, and so what stands before its first colon for a type.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.docstrings import prepare_docstring
from sphinx.util.typing import ExtensionMetadata


def as_of_a_method(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what == "property" and obj.__doc__:
        docstring = GoogleDocstring(prepare_docstring(obj.__doc__), app.config, app, "method", name, obj, options)
        lines[:] = docstring.lines()


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("autodoc-process-docstring", as_of_a_method, priority=600)  # after napoleon's, at 500
    return {"parallel_read_safe": True}
