"""Sphinx's settings for the site; ``python -m docs.site`` writes the pages it reads."""

from pathlib import Path

import odelab
from docs.site import docstrings, mathematics

project, author, version = "odelab", "The odelab authors", odelab.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_static"]
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "html_image"]
myst_dmath_double_inline = True  # $$ … $$ right below a line of text
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "code"
add_module_names = False
napoleon_use_ivar = True
napoleon_use_rtype = False
toc_object_entries = False
viewcode_follow_imported_members = True

html_theme = "sphinx_book_theme"
html_title = "odelab"
html_css_files = ["site.css"]
html_js_files = ["twins.js", "sliders.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # would fetch each page, which browsers refuse in a folder on disk
html_context = {"default_mode": "auto"}
html_theme_options = {"use_fullscreen_button": False, "show_toc_level": 2, "navbar_persistent": []}
copybutton_selector = "div.cell_input pre, div.highlight-python pre"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
# SVG needs no font files, which some browsers refuse to load from a folder on disk.
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"tex": {"tags": "none"}, "options": {"enableMenu": False}}


def setup(app):
    app.connect("config-inited", lambda app, config: config.html_static_path.append(str(Path(app.srcdir) / "_static")))
    docstrings.setup(app)
    mathematics.setup(app)
