"""One reveal.js deck a lesson, made of the lesson's own cells: ``make slides``."""
