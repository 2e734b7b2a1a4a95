"""Neural processes, with an ODE inside and without: predictions that follow new points without training."""
