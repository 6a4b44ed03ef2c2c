"""Settings of the documentation; `make docs` builds it into docs/_build/html."""

import sys
from pathlib import Path

from hw2exp import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "hw2exp"
author = "the hw2exp authors"
copyright = f"{author}, MIT license"
release = __version__
extensions = [
    "mathml",
    "myst_nb",
    "reference_pages",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints", "study/maps/maps.md"]  # a part of study/maps
root_doc = "index"
html_theme = "furo"
html_title = "hw2exp"
html_static_path = ["_static"]
html_css_files = ["wide_tables.css"]
html_extra_path = ["playground.html"]
html_copy_source = False

html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_in_temp = True
nb_execution_mode = "force"  # a cache would not see that the bench has changed
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
copybutton_prompt_text = r"^\$ "
nitpicky = False
suppress_warnings = ["config.cache"]
