"""report.html: one file that answers which scheme a device should use, anywhere and without a network.

Python writes what was measured into the file as JSON; the scripts under `static/`, which are put into it as they are,
compute what it would cost on the reader's device and link, and draw it. There is no framework and no plotting library:
Vega-Lite alone takes 0.9 of the 1.5 MB that the file may have, and what is written today with the DOM and SVG alone is
still read by a browser in ten years.
"""
