"""Report on run folders: tables with confidence intervals, figures, and one HTML page."""
