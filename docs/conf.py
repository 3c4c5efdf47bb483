"""The site: `make docs`. Notebooks are shown with the outputs they were committed with."""

import sys
from pathlib import Path

from sb3_cardqn import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "sb3-cardqn"
author = "the sb3-cardqn developers"
version = release = __version__

extensions = [
    "generated",  # docs/_extensions: commands, public names, modules
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx-mathjax-offline",  # formulas without a network
]
exclude_patterns = ["_extensions", "head_to_head/results"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tests/docs/test_tutorial.py executes them

html_theme = "furo"
html_title = f"sb3-cardqn {version}"
html_copy_source = False
html_show_copyright = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_mock_imports = ["ray"]  # an extra: compare --launcher ray
# what these inherit is SB3's and Gymnasium's, and documented there
autodoc_inherit_docstrings = False
