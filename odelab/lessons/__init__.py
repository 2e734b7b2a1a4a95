"""One room a lesson: figures (pure functions of arrays), explorables (sliders), checks (of the exercises)."""
