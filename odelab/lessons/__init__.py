"""One room a lesson: figures (pure functions of arrays), explorables (sliders), checks (of the exercises)."""

from odelab.extras import extra

with extra("lab"):  # before any lesson asks for one of them without saying where they come from
    import IPython  # noqa: F401
    import ipywidgets  # noqa: F401
    import matplotlib  # noqa: F401
    import pandas  # noqa: F401
