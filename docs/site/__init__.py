"""The course as web pages: ``make site``. What has a source elsewhere is generated from it, nothing is told twice."""
