"""The site, as Sphinx reads it: ``pip install '.[docs]' && sphinx-build -W docs docs/_build/html``.

All code on the pages is executed when the site is built, and a cell that fails ends the build. Formulas become MathML,
so that reading needs no network and no script.
"""

import importlib
import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.domains.math import MathDomain
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

import minisnn

project = "minisnn"
author = "The minisnn developers"
project_copyright = author
release = minisnn.__version__
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx_design"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
nb_execution_mode = "cache"  # a page is executed again only if its code has changed
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "remove"  # such as the news that matplotlib looks for fonts
nb_merge_streams = True
nb_code_prompt_show = "How this picture is drawn"
nb_code_prompt_hide = "Fold"
myst_heading_anchors = 3

default_role = "py:obj"  # in docstrings
highlight_language = "none"  # their listings are equations
autodoc_typehints = "none"  # numpydoc describes the parameters
numpydoc_show_class_members = False
nitpicky = True
# Docstrings name parameters and private things in the same way.
nitpick_ignore_regex = [("py:(obj|class|exc|data)", ".*")]

html_theme = "furo"
html_title = "minisnn"
html_static_path = ["_static"]
html_extra_path = ["interactive"]  # pages that are one file each
html_css_files = ["site.css"]
html_math_renderer = "mathml"
math_eqref_format = "Eq. {number}"


class LabelledEquations(MathDomain):
    """Equations have the numbers of `minisnn.model` on every page: the label of Eq. 7 is ``eq-7``."""

    def note_equation(self, docname, labelid, location=None):
        """Keep the number that the label says."""
        super().note_equation(docname, labelid, location)
        self.equations[labelid] = docname, int(labelid.removeprefix("eq-"))


def mathml(node, as_block):
    """MathML of a formula in LaTeX."""
    try:
        return tex2mathml(node.astext(), as_block)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %s: %s", node.astext(), error, location=node)
        return ""


def visit_math(translator, node):
    """Write a formula in a line of text."""
    translator.body.append(mathml(node, as_block=False))
    raise SkipNode


def visit_displaymath(translator, node):
    """Write a formula in a line of its own, with its number if it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(mathml(node, as_block=True))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise SkipNode


def link_equations(app, what, name, obj, options, lines):
    """Make "Eq. 7" and "Eqs. 6 to 8, 10" in a docstring lead to the pages that derive these equations."""
    for k, line in enumerate(lines):
        lines[k] = re.sub(
            r"\bEqs?\. (\d+(?:(?:, | to | and )\d+)*)",
            lambda match: re.sub(r"(\d+)", r":eq:`eq-\1`", match[1]),
            line,
        )


def miss_no_name(app, env):
    """Warn of a public name that the reference does not describe, under its module or under minisnn."""
    python = env.get_domain("py")
    for module in python.modules:
        for name in importlib.import_module(module).__all__ if module != "minisnn.model" else ():
            known = {f"{module}.{name}", f"minisnn.{name}"}
            if not known & {*python.objects, *python.modules}:
                logging.getLogger(__name__).warning("%s.%s is missing in the reference", module, name)


def setup(app):
    """Register what is defined above."""
    app.connect("env-check-consistency", miss_no_name)
    app.connect("autodoc-process-docstring", link_equations)
    app.add_domain(LabelledEquations, override=True)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
